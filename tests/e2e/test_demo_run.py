"""`spillway demo` from start to verdict, as `make demo` runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import psutil
import pytest

DEADLINE_S = 240.0


@pytest.mark.slow
@pytest.mark.timeout(DEADLINE_S + 30)
def test_the_demo_keeps_its_promises() -> None:
    """Exit code 0 in under four minutes, every check passed, nothing left running."""
    began_s = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-m", "controller.cli.main", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert time.monotonic() - began_s < DEADLINE_S
    document = json.loads(run.stdout)
    assert run.returncode == 0, document
    assert document["kind"] == "demo"
    assert len(document["data"]["checks"]) == 5
    assert all(check["passed"] for check in document["data"]["checks"]), document
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("spillway-demo-" in word for word in process.info["cmdline"] or ())
    ]
    assert not left
