"""What is shown: a run in figures and reasons, plots that are PNG, a page that needs no network."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from contest_world import ECONOMICS, Steady, curve, point, result, score

from controller.core.errors import SimulationError
from controller.replay.contest_types import Tried
from controller.replay.fluid import FluidRun, simulate
from controller.replay.report_page import Section, page
from controller.replay.report_plots import attainment_plot, timeline_plot
from controller.replay.report_run import decision_rows, run_rows, run_verdict, told_run
from controller.replay.simulation_types import Seen, Series, Wish

PNG = b"\x89PNG\r\n\x1a\n"
KEPT = FluidRun(keep_series=True)


class Growing(Steady):
    """One more every ten seconds, up to four."""

    def step(self, seen: Seen, now_s: float) -> Wish:
        """Its reason is what it saw."""
        return Wish(replicas=min(4, 1 + int(now_s // 10)), reason=f"{seen.ready} ready")


def test_a_run_is_told_beside_the_optimum_with_every_change_and_its_reason() -> None:
    """Replicas ordered while others start are changes of the wish, not of what is ready."""
    told = told_run(curve(*(5.0,) * 20), ECONOMICS, Growing(1), seed=1, run=KEPT)
    assert [(one.at_s, one.replicas_from, one.replicas_to) for one in told.decisions] == [
        (10.0, 1, 2), (20.0, 2, 3), (30.0, 3, 4),
    ]  # fmt: skip
    assert told.decisions[0].reason == "1 ready"
    assert told.usd_ratio is not None
    assert told.usd_ratio > 1
    assert decision_rows(told.decisions, 1) == [("0d 00:00:30", "3", "4", "2 ready")]
    assert decision_rows(told.decisions, 0) == []
    rows = {name.strip(): (ours, best) for name, ours, best in run_rows(told)}
    assert rows["times the optimum"] == (f"{told.usd_ratio:.3f}", "1")
    assert rows["most replicas ready"][0] == "4"
    assert "steady on curve" in run_verdict(told)
    assert f"{told.usd_ratio:.3f} times the optimum" in run_verdict(told)


def test_a_pool_without_a_request_costs_the_optimum_nothing() -> None:
    """No division by zero; no ratio."""
    told = told_run(curve(0.0, 0.0), ECONOMICS, Steady(1), seed=1, run=KEPT)
    assert told.usd_ratio is None
    assert ("times the optimum", "-", "1") in run_rows(told)
    assert "the optimum is free" in run_verdict(told)


def test_a_run_must_keep_its_series_to_be_told() -> None:
    """Said in one line."""
    with pytest.raises(SimulationError, match="keep_series is false; it must be true"):
        told_run(curve(1.0), ECONOMICS, Steady(1), seed=1, run=FluidRun())


def test_the_attainment_plot_is_a_png_in_which_every_policy_may_stand() -> None:
    """Plain and with spilling, dearer than the edge, all or nothing attained."""
    made = result(ours=(score(1.0),), dear=(score(9.0, 0.0),))
    plain = Tried(point=point("dear", 2.0, "none"), score=score(1.2, 0.99))
    naive = Tried(point=point("dear", 2.0, "naive"), score=score(1.3, 0.999))
    assert attainment_plot(replace(made, tried=(*made.tried, plain, naive)), "ours").startswith(PNG)


@pytest.mark.parametrize("slots", [1, 7, 4000])
def test_the_timeline_is_a_png_of_any_length(slots: int) -> None:
    """One slot, and more than a screen has columns."""
    outcome = simulate(curve(*(5.0,) * slots), ECONOMICS, Steady(1), seed=1, run=KEPT)
    assert outcome.series is not None
    assert timeline_plot(outcome.series, ECONOMICS, "it").startswith(PNG)


def test_a_timeline_without_misses_can_be_drawn() -> None:
    """A series may not tell them."""
    series = Series(times_s=(0.0,), demand_per_s=(1.0,), ready=(1,), starting=(0,), spilled_per_s=(0.0,))
    assert timeline_plot(series, ECONOMICS, "it").startswith(PNG)


def test_the_page_begins_with_the_verdict_and_needs_no_network() -> None:
    """Words are escaped, our row is marked, plots are inside, a section may be empty."""
    sections = [
        Section(title="Empty"),
        Section(title="A & B", text="1 < 2", columns=("policy", "x"), rows=[("ours", "1"), ("<b>", "2")]),
        Section(title="Plot", plots=[('a "plot"', PNG)]),
    ]
    text = page("T & T", "ours loses on <1>", sections, ours="ours")
    first = re.search(r"<p[^>]*>(.*?)</p>", text)
    assert first is not None
    assert first[1] == "ours loses on &lt;1&gt;"
    assert "<h1>T &amp; T</h1>" in text
    assert '<tr class="ours"><td>ours</td><td>1</td></tr>' in text
    assert "<tr><td>&lt;b&gt;</td><td>2</td></tr>" in text
    assert "<p>1 &lt; 2</p>" in text
    assert 'alt="a &quot;plot&quot;" src="data:image/png;base64,iVBORw0KGgo="' in text
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    assert text.count("<table>") == 1
