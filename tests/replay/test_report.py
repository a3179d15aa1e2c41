"""What is shown: a run in figures and reasons, plots that are PNG, a page that needs no network."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from contest_world import ECONOMICS, Steady, curve, point, result, score

from controller.core.errors import SimulationError
from controller.replay.contest_types import Tried
from controller.replay.fluid import FluidRun, simulate
from controller.replay.report_page import Folded, Section, page
from controller.replay.report_plots import _looks, attainment_plot, timeline_plot
from controller.replay.report_run import decision_rows, run_rows, run_verdict, timeline_rows, told_run
from controller.replay.report_words import TRIED_COLUMNS, tried_rows
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
    over_s: list[float] = []
    told = told_run(curve(*(5.0,) * 20), ECONOMICS, Growing(1), seed=1, run=KEPT, ran=over_s.append)
    assert over_s == [10.0 * slot for slot in range(20)]
    assert [(one.at_s, one.replicas_from, one.replicas_to) for one in told.decisions] == [
        (10.0, 1, 2), (20.0, 2, 3), (30.0, 3, 4),
    ]  # fmt: skip
    assert told.decisions[0].reason == "1 ready"
    assert told.usd_ratio is not None
    assert told.usd_ratio > 1
    assert decision_rows(told.decisions, 1) == [("0d 00:00:30", "3", "4", "2 ready")]
    assert decision_rows(told.decisions, 0) == []
    rows = {name.strip(): (ours, best) for name, ours, best in run_rows(told)}
    assert rows["times the optimum"] == (f"{told.usd_ratio:.3f}", "1.000")
    assert rows["most replicas ready"][0] == "4"
    assert "steady on curve" in run_verdict(told)
    assert f"{told.usd_ratio:.3f} times the optimum" in run_verdict(told)


def test_a_pool_without_a_request_costs_the_optimum_nothing() -> None:
    """No division by zero; no ratio."""
    told = told_run(curve(0.0, 0.0), ECONOMICS, Steady(1), seed=1, run=KEPT)
    assert told.usd_ratio is None
    assert ("times the optimum", "-", "1.000") in run_rows(told)
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


def test_a_timeline_of_a_week_can_be_drawn() -> None:
    """Its hours are marked day by day."""
    hours = 24 * 7
    series = Series(
        times_s=[3600.0 * hour for hour in range(hours)], demand_per_s=(1.0,) * hours, ready=(1,) * hours,
        starting=(0,) * hours, spilled_per_s=(0.0,) * hours,
    )  # fmt: skip
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
    assert '<tr class="ours"><th scope="row">ours</th><td class="n">1</td></tr>' in text
    assert '<tr><th scope="row">&lt;b&gt;</th><td class="n">2</td></tr>' in text
    assert "<p>1 &lt; 2</p>" in text
    assert 'alt="a &quot;plot&quot;" src="data:image/png;base64,iVBORw0KGgo="' in text
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    assert text.count("<table>") == 1
    assert "prefers-color-scheme: dark" in text


def test_words_are_told_apart_from_numbers_and_a_plot_has_its_figures_beside_it() -> None:
    """Words stand to the left, numbers to the right; terms are explained; figures are folded away."""
    section = Section(
        title="S",
        terms=[("a & b", "both")],
        columns=("at", "spread", "why"),
        rows=[("0d 00:00:30", "1.006 ± 0.010", "demand 2"), ("1d 00:00:00", "-", "7")],
        folded=[Folded(title="Points", columns=("n",), rows=[("1,000",), ("-2.5",)])],
    )
    text = page("T", "v", [section], ours="")
    assert '<th scope="col">at</th><th scope="col" class="n">spread</th><th scope="col">why</th>' in text
    assert "<dt>a &amp; b</dt><dd>both</dd>" in text
    assert "<details><summary>Points</summary>" in text
    assert '<th scope="row" class="n">1,000</th>' in text


class Outline(HTMLParser):
    """Reads a page as strictly as it can be read: every element is closed in its turn."""

    VOID = frozenset({"meta", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Afterwards it is open."""
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Afterwards the innermost one is closed."""
        assert self.open.pop() == tag


def test_every_element_of_a_page_is_closed() -> None:
    """In order, with every piece there is."""
    folded = [Folded(title="F", columns=("a",), rows=[("b",)])]
    whole = Section(
        title="S", text="t", terms=[("a", "b")], columns=("a",), rows=[("b",)], plots=[("p", PNG)], folded=folded
    )
    outline = Outline()
    outline.feed(page("T", "v", [whole, Section(title="Empty")], ours=""))
    assert outline.open == []


def test_a_timeline_has_figures() -> None:
    """Means over stretches, so many at most; a series may not tell what was missed."""
    series = Series(
        times_s=(0.0, 10.0, 20.0), demand_per_s=(5.0, 10.0, 20.0), ready=(1, 2, 2), starting=(1, 0, 0),
        spilled_per_s=(0.0, 1.0, 3.0),
    )  # fmt: skip
    assert timeline_rows(series, ECONOMICS, 2) == [
        ("0d 00:00:00", "1.50", "1.50", "2.00", "0.50", "0.00"),
        ("0d 00:00:20", "4.00", "2.00", "2.00", "3.00", "0.00"),
    ]
    assert len(timeline_rows(series, ECONOMICS)) == 3
    assert [row[-1] for row in timeline_rows(replace(series, missed_per_s=(0.0, 2.0, 4.0)), ECONOMICS, 1)] == ["2.00"]


@pytest.mark.parametrize(
    ("gateway", "row"),
    [("valve", "spilling begun or ended, per hour"), ("mode", "changes of spill mode per hour")],
)
def test_what_is_counted_as_a_flip_is_named(gateway: str, row: str) -> None:
    """A mode's changes are not those of the gateway beside it."""
    told = told_run(curve(5.0, 5.0), ECONOMICS, Steady(1), seed=1, run=replace(KEPT, gateway=gateway))
    assert row in {name for name, _, _ in run_rows(told)}


def test_every_point_of_the_plot_stands_in_a_table() -> None:
    """By policy, form and knob."""
    made = result(ours=(score(1.0),), dear=(score(9.0, 0.5),))
    plain = Tried(point=point("dear", 2.0, "none"), score=score(1.2, 0.99))
    rows = tried_rows(replace(made, tried=(*made.tried, plain)))
    assert len(rows) == len(made.tried) + 1
    assert ("dear", "plain", "2", "1.200", "99.00", "0.00") in rows
    assert all(len(row) == len(TRIED_COLUMNS) for row in rows)


def test_those_that_come_nearest_have_colours_of_their_own() -> None:
    """However many policies there are; no two look alike."""
    others = {f"p{place}": (score(1.5 + place, 1.0 if place < 4 else 0.5),) for place in range(28)}
    made = result(ours=(score(1.0),), **others)
    tried = tuple(Tried(point=point(name, 1.0), score=scores[0]) for name, scores in others.items())
    looks = _looks(replace(made, tried=tried), "ours")
    assert list(looks)[:5] == ["ours", "p0", "p1", "p2", "p3"]
    assert len(set(looks.values())) == len(looks) == 29
