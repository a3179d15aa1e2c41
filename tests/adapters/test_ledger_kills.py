"""kill -9 at the commit boundaries of the ledger: nothing acknowledged is lost, nothing is doubled or overshot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def _killed(place: Path | str, folder: Path, seeds: int) -> None:
    command = [sys.executable, "-m", "tests.adapters.ledger_kills", str(place), str(folder), "1", str(seeds)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False)
    said = done.stdout.splitlines()[-1:]
    assert (done.returncode, said) == (0, [f"seeds 1 to {seeds}: books true"]), done.stdout + done.stderr


def test_a_few_seeds(place: Path | str, tmp_path: Path) -> None:
    """Each seed is a life killed at a random pass of a random failpoint, one or two starts, and the books."""
    _killed(place, tmp_path, 12)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hundred_seeds(place: Path | str, tmp_path: Path) -> None:
    """The same, often; a second process looks at the sums all the time."""
    _killed(place, tmp_path, 200)
