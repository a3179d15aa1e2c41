"""What a bench keeps: read back as it was, and never mixed with what another bench or other code found."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.cli import bench_kept
from controller.cli.bench_kept import Kept
from controller.cli.errors import EXIT_USAGE, CliError
from controller.replay.contest_types import Dropped, Point, Score

GONE = Dropped(
    point=Point(policy="a", gateway="none", knob=1.0),
    score=Score(
        seed=1, usd_ratio=1.1, usd_per_1k=0.1, attained_ratio=0.5, spilled_ratio=0.25, actions_per_hour=1.0,
        flips_per_hour=2.0, regret_ratio=1e-9, peak_replicas=4,
    ),
    reason="50.00 % within the SLO",
)  # fmt: skip


def test_what_was_kept_is_there_again_as_it_was(tmp_path: Path) -> None:
    """In order; a line that was cut off by the end of the process is not."""
    file = tmp_path / "kept"
    kept = Kept(file, ["plan"], Dropped)
    assert list(kept.results()) == []
    kept.add(GONE)
    kept.add(GONE)
    file.write_bytes(file.read_bytes()[:-5])
    assert list(Kept(file, ["plan"], Dropped).results()) == [GONE]


def test_after_a_line_that_was_cut_off_more_can_be_kept(tmp_path: Path) -> None:
    """The piece is gone, not glued to what comes next."""
    file = tmp_path / "kept"
    Kept(file, ["plan"], Dropped).add(GONE)
    file.write_bytes(file.read_bytes()[:-5])
    Kept(file, ["plan"], Dropped).add(GONE)
    assert list(Kept(file, ["plan"], Dropped).results()) == [GONE]


@pytest.mark.parametrize("changed", ["plan", "code", "nothing in it"])
def test_a_file_of_another_bench_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    """With what to do about it."""
    file = tmp_path / "kept"
    Kept(file, ["plan"], Dropped)
    if changed == "code":
        monkeypatch.setattr(bench_kept, "MEASURED", ("replay",))
    if changed == "nothing in it":
        file.write_text("", encoding="utf-8")
    with pytest.raises(CliError) as refused:
        Kept(file, ["other"] if changed == "plan" else ["plan"], Dropped)
    assert refused.value.exit_code == EXIT_USAGE
    assert refused.value.what == f"{file} is of another bench"
