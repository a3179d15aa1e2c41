"""The compose files of docker/, as docker compose itself reads them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.docker.images import ROOT

COMPOSE = ROOT / ".cluster-tools" / "docker-compose"
FILES = {"gpu": ROOT / "docker/compose.yaml", "sim": ROOT / "docker/compose.sim.yaml"}
NEEDED = {"HF_TOKEN": "hf_test", "SPILLWAY_ENGINE_KEY": "test-engine-key"}


def read(file: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What docker compose makes of the file with nothing but these variables."""
    assert COMPOSE.exists(), "run `scripts/cluster-tools.sh docker-compose` first"
    return subprocess.run(
        [COMPOSE, "--file", file, "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def services(name: str) -> dict[str, dict[str, object]]:
    """The services of a file with every variable, anchor and default resolved."""
    done = read(FILES[name], NEEDED)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, object]] = json.loads(done.stdout)["services"]
    return found
