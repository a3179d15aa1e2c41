"""Runs one command to its end; what it said when it failed is the error's message."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from tests.cluster.errors import CommandFailed
from tests.cluster.programs import SEARCHED

COMMAND_S = 60.0


def run(
    command: Sequence[str],
    *,
    given: str | None = None,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = COMMAND_S,
) -> str:
    """What the command printed; `given` is its standard input."""
    try:
        done = subprocess.run(
            list(command),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "PATH": SEARCHED, **(environ or {})},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"no end within {timeout_s:.0f} s: {' '.join(command)}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise CommandFailed(f"exit {done.returncode}: {' '.join(command)}\n{said}")
    return done.stdout
