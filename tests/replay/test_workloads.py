"""Named workloads have the size, the course, the irregularity and the request sizes that they are said to have."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from controller.core.errors import SimulationError
from controller.replay.simulation_types import Curve
from controller.replay.trace_files import shipped_trace
from controller.replay.trace_files_types import Blocks, RateSeries, RateTrace, RequestTrace, TokenTrace
from controller.replay.workloads import (
    CV_CODE_2024,
    CV_CONV_2024,
    RATES_2024,
    WORKLOADS,
    mean_sizes,
    published_curve,
    workload_curve,
    workload_requests,
)
from controller.replay.workloads_arrivals import renewed, thinned_cv, weibull_shape
from controller.replay.workloads_curves import busy_rate_per_s, curve_of, interpolated
from controller.replay.workloads_requests import cut, repeated, sampled_sizes

DATA = Path(__file__).parents[2] / "controller/replay/data"
HOUR_S = 3600.0


def trace_of(*arrivals_s: float, blocks: Blocks | None = None) -> RequestTrace:
    """Requests at these times, of sizes 0, 1, 2 and so on."""
    sizes = np.arange(len(arrivals_s), dtype=np.int32)
    return RequestTrace(arrivals_s=np.array(arrivals_s), input_tokens=sizes, output_tokens=sizes, blocks=blocks)


def series_of(starts_s: list[float], rates_per_s: list[float]) -> RateSeries:
    """Windows without a CV."""
    return RateSeries(
        starts_s=np.array(starts_s),
        rates_per_s=np.array(rates_per_s),
        cvs=np.zeros(len(starts_s)),
        distributions=("",) * len(starts_s),
    )


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("replicas", [20, 4])
def test_curves_have_the_size_they_are_asked_for(name: str, replicas: int) -> None:
    """The busy moments keep so many replicas busy, and the course is that which was published."""
    curve = workload_curve(name, replicas=replicas, replica_requests_per_s=2.5)
    assert busy_rate_per_s(curve) == pytest.approx(replicas * 2.5)
    published = published_curve(name)
    assert curve.duration_s == published.duration_s
    ratio = np.asarray(curve.rates_per_s) * busy_rate_per_s(published) / (replicas * 2.5)
    assert np.allclose(ratio, published.rates_per_s)


@pytest.mark.parametrize("name", WORKLOADS)
def test_requests_follow_their_curve(name: str) -> None:
    """As many as the curve says, with times in order, sizes of the workload, and the same again from the same seed."""
    most_s = 3 * HOUR_S
    curve = workload_curve(name, replicas=4, replica_requests_per_s=2.5)
    made = workload_requests(name, np.random.default_rng(7), replicas=4, replica_requests_per_s=2.5, duration_s=most_s)
    end_s = min(most_s, curve.duration_s)
    expected = sum(curve.rates_per_s[: round(end_s / curve.slot_s)]) * curve.slot_s
    assert len(made) == pytest.approx(expected, rel=0.1)
    assert np.all(np.diff(made.arrivals_s) >= 0)
    assert 0 <= made.arrivals_s[0] <= made.arrivals_s[-1] < end_s
    means = made.input_tokens.mean(), made.output_tokens.mean()
    assert means == pytest.approx(mean_sizes(name), rel=0.15)
    assert made.output_tokens.min() >= 1
    again = workload_requests(name, np.random.default_rng(7), replicas=4, replica_requests_per_s=2.5, duration_s=most_s)
    assert np.array_equal(made.arrivals_s, again.arrivals_s)


def test_a_stretch_is_cut_out_of_the_whole() -> None:
    """Times count from its start, also when that lies within a slot, for made requests and recorded ones."""
    day = workload_requests(
        "az24-code-week",
        np.random.default_rng(1),
        replicas=4,
        replica_requests_per_s=1.0,
        start_s=3.5 * 86_400 + 5,
        duration_s=600,
    )
    curve = workload_curve("az24-code-week", replicas=4, replica_requests_per_s=1.0)
    slots = curve.rates_per_s[round(3.5 * 8640) : round(3.5 * 8640) + 60]
    assert len(day) == pytest.approx(10 * sum(slots), rel=0.2)
    assert 0 <= day.arrivals_s[0] < day.arrivals_s[-1] < 600
    burst = workload_requests(
        "az23-code-burst",
        np.random.default_rng(1),
        replicas=4,
        replica_requests_per_s=1.0,
        start_s=600,
        duration_s=60,
    )
    assert burst.arrivals_s[-1] < 60


@pytest.mark.parametrize("start_s", [-1.0, 3430.0, math.nan], ids=["negative", "past the end", "no number"])
def test_a_stretch_outside_is_refused(start_s: float) -> None:
    """Named with what is allowed."""
    with pytest.raises(SimulationError, match=r"start_s is .*; it must be in 0 to 3430"):
        workload_requests(
            "az23-code-burst", np.random.default_rng(1), replicas=4, replica_requests_per_s=1.0, start_s=start_s
        )


def test_a_workload_that_there_is_not_is_refused() -> None:
    """By name, with those there are."""
    with pytest.raises(SimulationError, match=r"workload is 'monday'; it must be one of az24-code-week, .*zero-to-n"):
        published_curve("monday")


def test_the_square_wave_lasts_as_long_as_a_cold_start() -> None:
    """So that a replica ordered at the rise comes at the fall."""
    curve = published_curve("square-wave", cold_start_s=480.0)
    assert list(curve.rates_per_s[:96]) == [1.0] * 48 + [5.0] * 48
    assert list(published_curve("square-wave", cold_start_s=0.0).rates_per_s[:2]) == [1.0, 5.0]


def test_bursts_keep_their_seconds() -> None:
    """The worst second of the code trace has 67 requests, and half of them when half are thinned away."""
    trace = shipped_trace("azure_llm_2023_code.csv.gz")
    assert isinstance(trace, RequestTrace)
    gaps = np.diff(trace.arrivals_s)
    assert gaps.std() / gaps.mean() == pytest.approx(13.2, abs=0.1)
    seconds = np.arange(0.0, trace.arrivals_s[-1], 1.0)
    assert np.histogram(trace.arrivals_s, seconds)[0].max() == 67
    half = repeated(trace, 0.5, np.random.default_rng(3))
    assert len(half) == pytest.approx(len(trace) / 2, rel=0.05)
    assert set(half.arrivals_s) <= set(trace.arrivals_s)
    assert 25 <= np.histogram(half.arrivals_s, seconds)[0].max() <= 45


def test_copies_come_within_their_second_and_share_no_beginnings() -> None:
    """Two and a half times as many: each twice, half of them thrice, the first at its own time."""
    blocks = Blocks(block_tokens=512, offsets=np.array([0, 2, 3]), ids=np.array([0, 1, 0]))
    many = repeated(trace_of(5.0, 9.0, blocks=blocks), 2.0, np.random.default_rng(1))
    assert many.blocks is not None
    rows = sorted(
        (int(tokens), many.blocks.of(request).tolist()) for request, tokens in enumerate(many.input_tokens.tolist())
    )
    assert rows == [(1, [0]), (1, [0, 1]), (1, [2]), (1, [2, 3])]
    assert {5.0, 9.0} <= set(many.arrivals_s.tolist())
    assert np.abs(many.arrivals_s - np.array([5.0, 5.0, 9.0, 9.0])).max() <= 0.5
    more = repeated(trace_of(*range(2000)), 2.5, np.random.default_rng(1))
    assert len(more) == pytest.approx(5000, rel=0.03)


def test_nothing_repeated_is_nothing() -> None:
    """No requests stay none, and a factor of 0 leaves none; a factor that is none is refused."""
    assert len(repeated(cut(trace_of(1.0), 2.0, 3.0), 3.0, np.random.default_rng(1))) == 0
    assert len(repeated(trace_of(1.0, 2.0), 0.0, np.random.default_rng(1))) == 0
    with pytest.raises(SimulationError, match="factor is nan; it must be a finite number >= 0"):
        repeated(trace_of(1.0), math.nan, np.random.default_rng(1))


def test_sizes_are_drawn_together() -> None:
    """A prompt length never comes with the answer length of another row."""
    made = sampled_sizes(np.zeros(500), trace_of(*range(1, 50)), np.random.default_rng(1))
    assert np.array_equal(made.input_tokens, made.output_tokens)
    assert made.input_tokens.min() == 1


def test_mean_sizes_are_of_what_fits() -> None:
    """With a limit on the context long requests do not count; a limit that none fits is refused."""
    assert mean_sizes("mooncake-synthetic") == pytest.approx((15325.5, 149.1), abs=0.1)
    inputs, outputs = mean_sizes("mooncake-synthetic", 16_000)
    assert inputs < 16_000
    assert outputs < 16_000
    with pytest.raises(SimulationError, match="longest_tokens is 1; some request of az23-conv must fit"):
        mean_sizes("az23-conv", 1)


@pytest.mark.parametrize("distribution", ["Gamma", "Weibull"])
@pytest.mark.parametrize("cv", [0.0, 0.7, 1.0, 3.0])
def test_arrivals_are_as_irregular_as_asked(distribution: str, cv: float) -> None:
    """Gaps have the CV, counts per minute the dispersion CV^2, and the rate is met."""
    slots = 6 * 600
    arrivals = renewed(np.full(slots, 20.0), 10.0, np.full(slots, cv), np.random.default_rng(5), distribution)
    assert len(arrivals) == pytest.approx(20 * 10 * slots, rel=0.03)
    gaps = np.diff(arrivals)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.06, abs=0.01)
    counts = np.histogram(arrivals, bins=600, range=(0.0, 36_000.0))[0]
    assert counts.var() / counts.mean() == pytest.approx(cv * cv, rel=0.25, abs=0.02)


def test_arrivals_follow_rate_and_cv_slot_by_slot() -> None:
    """None where the rate is 0; regular in the slots that say so; an idle curve has none."""
    rates = np.array([10.0, 0.0, 10.0])
    arrivals = renewed(rates, 10.0, np.array([0.0, 0.0, 2.0]), np.random.default_rng(1))
    first = arrivals[arrivals < 10]
    assert np.diff(first) == pytest.approx(0.1)
    assert not np.any((arrivals > 10.001) & (arrivals < 20))
    assert np.diff(arrivals[arrivals > 20]).std() > 0.05
    assert len(renewed(np.zeros(3), 10.0, np.ones(3), np.random.default_rng(1))) == 0


def test_thinning_brings_counts_nearer_to_chance() -> None:
    """The CV that is left is that of requests kept one by one; copies over each other leave it as it is."""
    cv = np.array([4.0, 1.0, 0.5])
    assert thinned_cv(cv, 3.0).tolist() == cv.tolist()
    assert thinned_cv(cv, 0.0).tolist() == [1.0, 1.0, 1.0]
    slots = 6 * 2000
    rng = np.random.default_rng(2)
    dense = renewed(np.full(slots, 20.0), 10.0, np.full(slots, 4.0), rng)
    kept = dense[rng.random(len(dense)) < 0.2]
    counts = np.histogram(kept, bins=2000, range=(0.0, 120_000.0))[0]
    left = float(thinned_cv(np.array([4.0]), 0.2)[0])
    assert counts.var() / counts.mean() == pytest.approx(left**2, rel=0.15)


def test_the_shape_of_a_weibull_variable_follows_from_its_cv() -> None:
    """1 is exponential; others by the definition of the CV."""
    assert weibull_shape(1.0) == pytest.approx(1.0)
    shape = weibull_shape(3.0)
    assert math.gamma(1 + 2 / shape) / math.gamma(1 + 1 / shape) ** 2 - 1 == pytest.approx(9.0)


def test_too_many_requests_are_refused() -> None:
    """Before they fill the memory."""
    with pytest.raises(SimulationError, match=r"the workload has 1e\+09 requests; at most 200000000 are allowed"):
        renewed(np.array([1e8]), 10.0, np.ones(1), np.random.default_rng(1))


@pytest.mark.parametrize(("service", "cv"), [("code", CV_CODE_2024), ("conv", CV_CONV_2024)])
def test_the_cv_of_azure_2024_is_that_of_its_plots(service: str, cv: float) -> None:
    """The range of seven minutes, 2.704 standard deviations in the mean, gives the dispersion of a minute."""
    with (DATA / RATES_2024).open() as file:
        rows = [row for row in csv.DictReader(file) if row["service"] == service]
    per_minute = np.array([60 * float(row["rate_rps"]) for row in rows])
    range_ = np.array([float(row["rpm_hi_px"]) - float(row["rpm_lo_px"]) for row in rows])
    assert float(np.median(range_ / 2.704 / np.sqrt(per_minute))) == pytest.approx(cv, abs=0.01)


def test_curves_are_counted_from_requests() -> None:
    """Slot by slot; the begun one at the end is left out; a shorter trace has one slot."""
    curve = curve_of(trace_of(0.0, 1.0, 12.0, 35.0), "mine")
    assert (curve.kind, curve.slot_s) == ("bursty", 10.0)
    assert list(curve.rates_per_s) == [0.2, 0.1, 0.0]
    assert list(curve_of(trace_of(0.0, 1.0), "mine").rates_per_s) == [0.2]


def test_curves_are_held_through_windows() -> None:
    """Services add up; a window that is missing is a gap without demand."""
    trace = RateTrace(window_s=20.0, series={"a": series_of([100, 120, 160], [1, 2, 3]), "b": series_of([120], [10])})
    assert list(curve_of(trace, "mine").rates_per_s) == [1, 1, 12, 12, 0, 0, 3, 3]


def test_published_windows_are_joined_by_straight_lines() -> None:
    """Through their middles; a window without a request is bridged."""
    rates = interpolated(series_of([0, 20, 40], [1, 0, 5]), 20.0, 10.0)
    assert rates.tolist() == [1.0, 1.5, 2.5, 3.5, 4.5, 5.0]


@pytest.mark.parametrize(
    ("trace", "slot_s", "words"),
    [
        (TokenTrace(windows=()), 10.0, "mine holds token counts; it must hold requests or rates"),
        (trace_of(0.0), 0.0, "slot_s is 0; it must be a number > 0"),
        (trace_of(0.0, 1e10), 10.0, "mine lasts 115741 days, 1000000000 slots of 10 s; it must have at most 5000000"),
    ],
    ids=["tokens", "slot", "long"],
)
def test_what_is_no_curve_is_refused(trace: RequestTrace | TokenTrace, slot_s: float, words: str) -> None:
    """By name, value and what is allowed."""
    with pytest.raises(SimulationError, match=words):
        curve_of(trace, "mine", slot_s=slot_s)


def test_a_curve_without_a_request_has_no_size() -> None:
    """It cannot be scaled."""
    with pytest.raises(SimulationError, match="the greatest rate of idle is 0"):
        busy_rate_per_s(Curve(name="idle", slot_s=10.0, rates_per_s=[0.0, 0.0], kind="synthetic"))
    assert busy_rate_per_s(Curve(name="rare", slot_s=10.0, rates_per_s=[0.0] * 999 + [7.0], kind="synthetic")) == 7.0
