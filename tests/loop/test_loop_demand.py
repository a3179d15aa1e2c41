"""Demand from counters: rates over a window, restarts, sizes per request, the p95 between two histograms."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.samples import PoolCounters
from controller.loop.demand import LEAST_S, WINDOW_S, Demand, DemandWindow, quantile_s
from controller.telemetry.gateway_metrics import TTFT_BUCKETS_S, Histogram

BOUNDS = (0.1, 0.5, 1.0, inf)


def counters(arrivals: float, *, saturated: float = 0.0, spilling: float = 0.0) -> PoolCounters:
    """So many requests of 200 input and 100 output tokens each."""
    return PoolCounters(
        arrivals=arrivals,
        input_tokens=200.0 * arrivals,
        output_tokens=100.0 * arrivals,
        spilled={"saturated": saturated, "spilling": spilling},
    )


def steady(window: DemandWindow, *, per_s: float, seconds: int, start_s: float = 0.0, base: float = 0.0) -> Demand:
    """One scrape a second; the last demand."""
    found = Demand(span_s=0.0)
    for second in range(seconds + 1):
        found = window.add(start_s + second, counters(base + per_s * second))
    return found


def test_the_first_scrape_says_nothing_yet() -> None:
    """A counter that was never seen before is no burst."""
    demand = DemandWindow().add(0.0, counters(10_000.0, saturated=500.0))
    assert (demand.arrivals_per_s, demand.spilled_per_s, demand.refused_now) == (0.0, 0.0, 0.0)
    assert (demand.input_tokens, demand.ttft_p95_s) == (0.0, None)


def test_a_young_window_is_taken_to_be_longer() -> None:
    """One request in the first second is no flood."""
    window = DemandWindow()
    window.add(0.0, counters(0.0))
    assert window.add(1.0, counters(4.0)).arrivals_per_s == 4.0 / LEAST_S


@pytest.mark.parametrize("seconds", [4, 20, 300])
def test_a_steady_rate_is_told(seconds: int) -> None:
    """Whatever the age of the window, with sizes per request."""
    demand = steady(DemandWindow(), per_s=3.0, seconds=seconds)
    assert demand.arrivals_per_s == pytest.approx(3.0)
    assert (demand.input_tokens, demand.output_tokens) == (pytest.approx(200.0), pytest.approx(100.0))
    assert demand.span_s <= WINDOW_S


def test_old_demand_leaves_the_window() -> None:
    """A burst is forgotten once it is older than the window, not before."""
    window = DemandWindow()
    steady(window, per_s=10.0, seconds=30)
    half = steady(window, per_s=0.0, seconds=9, start_s=31.0, base=300.0)
    gone = steady(window, per_s=0.0, seconds=20, start_s=41.0, base=300.0)
    assert half.arrivals_per_s == pytest.approx(5.0)
    assert gone.arrivals_per_s == 0.0


def test_a_gateway_restart_begins_anew() -> None:
    """Counters that fell are those of a new process: no negative rate, and no burst from its first count."""
    window = DemandWindow()
    steady(window, per_s=10.0, seconds=30)
    assert window.add(31.0, counters(7.0, saturated=3.0)) == Demand(span_s=LEAST_S)
    assert window.add(35.0, counters(27.0, saturated=3.0)).arrivals_per_s == pytest.approx(5.0)


def test_a_clock_that_jumps_back_begins_anew() -> None:
    """A step of the wall clock makes no nonsense rate."""
    window = DemandWindow()
    steady(window, per_s=10.0, seconds=30)
    assert window.add(10.0, counters(400.0)).arrivals_per_s == 0.0


def test_after_a_silence_the_rate_is_averaged_over_it() -> None:
    """Scrapes that failed for a minute leave no hole: what came meanwhile is spread over it."""
    window = DemandWindow()
    window.add(0.0, counters(0.0))
    assert window.add(60.0, counters(60.0)).arrivals_per_s == pytest.approx(1.0)


def test_refusals_are_those_since_the_last_scrape() -> None:
    """Only `saturated` means full, and only now; every reason counts as spilled."""
    window = DemandWindow()
    window.add(0.0, counters(0.0))
    demand = window.add(4.0, counters(8.0, saturated=2.0, spilling=2.0))
    assert (demand.refused_now, demand.spilled_per_s) == (2.0, 1.0)
    assert window.add(5.0, counters(9.0, saturated=2.0, spilling=3.0)).refused_now == 0.0


@pytest.mark.parametrize(
    ("before", "after", "expected_s"),
    [
        pytest.param((), (), None, id="no histogram"),
        pytest.param((0, 0, 0, 0), (0, 0, 0, 0), None, id="nothing observed"),
        pytest.param((9, 9, 9, 9), (9, 9, 9, 9), None, id="nothing new"),
        pytest.param((), (100, 100, 100, 100), 0.095, id="all in the first bucket"),
        pytest.param((50, 50, 50, 50), (50, 150, 150, 150), 0.48, id="all new ones in the second"),
        pytest.param((), (0, 90, 100, 100), 0.75, id="in the middle of the third"),
        pytest.param((), (0, 0, 0, 10), 1.0, id="beyond the last bound"),
    ],
)
def test_the_p95_between_two_histograms(
    before: tuple[float, ...], after: tuple[float, ...], expected_s: float | None
) -> None:
    """Interpolated within its bucket; at least the last bound when it lies beyond; None when nothing was observed."""
    then, now = tuple(zip(BOUNDS, before, strict=False)), tuple(zip(BOUNDS, after, strict=False))
    found_s = quantile_s(then, now, 0.95)
    assert found_s == (None if expected_s is None else pytest.approx(expected_s))


@given(st.lists(st.floats(0.0, 20.0), min_size=1, max_size=200), st.sampled_from([0.05, 0.5, 0.95, 1.0]))
def test_a_quantile_is_at_most_a_bucket_off(values: list[float], share: float) -> None:
    """It lies in the bucket of the exact one, also when an older histogram is taken off."""
    older, newer = Histogram(TTFT_BUCKETS_S), Histogram(TTFT_BUCKETS_S)
    for value in (0.002, 7.0, 30.0):
        older.observe(value)
        newer.observe(value)
    for value in values:
        newer.observe(value)
    then, now = (tuple((float(bound), count) for bound, count in one.buckets()) for one in (older, newer))
    found_s = quantile_s(then, now, share)
    exact_s = sorted(values)[-(-int(share * len(values) * 1000) // 1000) - 1]
    assert found_s is not None
    low_s = max((bound for bound in TTFT_BUCKETS_S if bound < exact_s), default=0.0)
    high_s = min((bound for bound in TTFT_BUCKETS_S if bound >= exact_s), default=inf)
    assert low_s <= found_s <= high_s
