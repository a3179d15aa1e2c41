"""How the tests ask `spillway status`, and read its table."""

from __future__ import annotations

import re
from pathlib import Path

from published import run as run_command
from typer.testing import Result

from controller.cli import status


def run(state_dir: Path, *arguments: str) -> Result:
    """One `spillway status` on this state folder."""
    return run_command(status.register, "status", *arguments, "--state-dir", str(state_dir))


def cells(line: str) -> list[str]:
    """A line of the table."""
    return re.split(r"  +", line)
