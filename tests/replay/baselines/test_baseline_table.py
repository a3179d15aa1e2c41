"""The tool that prints the table of the README."""

from controller.replay.simulation_types import Curve
from tests.replay.baselines.baseline_table import Row, week


def test_week_is_cut_after_three_days() -> None:
    """Days 1 to 3 are tuned on, days 4 to 7 reported."""
    studied, reported = week("az24-code-week")
    assert [studied.duration_s / 86_400, reported.duration_s / 86_400] == [3, 4]


def test_tuned_is_the_cheapest_that_is_in_time() -> None:
    """On steady demand of 5.5 replicas the hottest target that still orders six; where none is in time, the best."""
    steady = Curve(name="steady", slot_s=10.0, rates_per_s=[5.5 * 7.2] * 360, kind="synthetic")
    row = Row("hpa-rate", "none", steady, steady)
    knob = row.tuned()
    assert knob >= 0.85
    cells = list(row.cells(1.0))
    assert cells[:3] == ["hpa-rate", "plain", "0.7"]
    assert cells[7] == f"{knob:g}"
    flood = Curve(name="flood", slot_s=10.0, rates_per_s=[400.0] * 60, kind="synthetic")
    assert Row("static-peak", "none", flood, flood).tuned() == 0.6  # 30, the most, from there on
