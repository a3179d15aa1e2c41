"""The named workloads of the policy benchmark: recorded weeks, recorded bursts, shapes that hurt.

Each in two forms, a demand curve (`workload_curve`) and single requests with sizes (`workload_requests`), both of
the size at which the busy moments need so many replicas. Sources and licences: `data/README.md`. Called by
`spillway bench policy` and `spillway simulate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from controller.core.errors import SimulationError
from controller.replay.simulation_types import DIURNAL, Curve
from controller.replay.trace_files import shipped_trace
from controller.replay.trace_files_types import Floats, RateSeries, RateTrace, RequestTrace
from controller.replay.workloads_arrivals import renewed, thinned_cv
from controller.replay.workloads_curves import (
    SLOT_S,
    busy_rate_per_s,
    curve_of,
    interpolated,
    ramp,
    scaled_to,
    spikes,
    square_wave,
    step,
    zero_to_n,
)
from controller.replay.workloads_requests import cut, repeated, sampled_sizes

COLD_START_S = 240.0
CODE_2023 = "azure_llm_2023_code.csv.gz"
CONV_2023 = "azure_llm_2023_conv.csv.gz"
RATES_2024 = "azure_llm_2024_rate_digitised_10min.csv"
RATES_SERVEGEN = "servegen_rate_10min.csv.gz"
# Of times between arrivals. Azure 2024: median over windows of the square root of the dispersion (variance by mean) of
# requests per minute, from the plotted range of seven minutes, which is 2.70 standard deviations.
CV_CODE_2024 = 4.17
CV_CONV_2024 = 3.89
CV_MOST = 20.0  # ServeGen's greatest, 495, are of windows with few requests

Rates = Callable[[float], Floats]  # cold start in s


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What there is to know of one workload."""

    kind: str  # diurnal | bursty | synthetic
    tests: str  # what it is hard on
    sizes: str  # the shipped trace whose rows give prompt and answer lengths, together
    recorded: bool = False  # the rows of `sizes` are the requests themselves, with their own times
    rates: Rates | None = None  # where it is not recorded
    cv: Callable[[], Floats | float] = lambda: 1.0  # of times between arrivals, as published; by slot or of all


def workload(name: str) -> Workload:
    """The workload of that name; SimulationError names those there are."""
    found = WORKLOADS.get(name)
    if found is None:
        raise SimulationError(f"workload is {name!r}; it must be one of {', '.join(WORKLOADS)}")
    return found


def published_curve(name: str, *, cold_start_s: float = COLD_START_S, longest_tokens: int | None = None) -> Curve:
    """Its demand as published or drawn, in slots of ten seconds, not yet scaled to any pool.

    With a limit, without the recorded requests that do not fit a context of so many tokens.
    """
    found = workload(name)
    if found.rates is None:
        return curve_of(_sizes(name, longest_tokens), name, found.kind)
    return Curve(name=name, slot_s=SLOT_S, rates_per_s=found.rates(cold_start_s).tolist(), kind=found.kind)


def workload_curve(
    name: str,
    *,
    replicas: float,
    replica_requests_per_s: float,
    cold_start_s: float = COLD_START_S,
    longest_tokens: int | None = None,
) -> Curve:
    """Its demand, scaled so that the 99.5th percentile of its slots keeps so many replicas busy."""
    published = published_curve(name, cold_start_s=cold_start_s, longest_tokens=longest_tokens)
    return scaled_to(published, replicas * replica_requests_per_s)


def workload_requests(
    name: str,
    rng: np.random.Generator,
    *,
    replicas: float,
    replica_requests_per_s: float,
    cold_start_s: float = COLD_START_S,
    start_s: float = 0.0,
    duration_s: float | None = None,
    distribution: str = "Gamma",
    longest_tokens: int | None = None,
) -> RequestTrace:
    """Its requests, of the same size as the curve, in the stretch that was asked for; times count from its start.

    A recorded trace is thinned request by request, or its requests are multiplied within their second: time is never
    stretched. A curve becomes arrivals whose CV is what thinning leaves of the published one, with sizes drawn in pairs
    from recorded rows.
    """
    found = workload(name)
    published = published_curve(name, cold_start_s=cold_start_s, longest_tokens=longest_tokens)
    factor = replicas * replica_requests_per_s / busy_rate_per_s(published)
    end_s = published.duration_s if duration_s is None else min(published.duration_s, start_s + duration_s)
    if not 0 <= start_s < end_s:
        raise SimulationError(
            f"start_s is {start_s:g} and the stretch ends at {end_s:g}; it must be in 0 to {published.duration_s:g}"
        )
    sizes = _sizes(name, longest_tokens)
    if found.recorded:
        return repeated(cut(sizes, start_s, end_s), factor, rng)
    first, last = int(start_s // SLOT_S), int(np.ceil(end_s / SLOT_S))
    rates = np.asarray(published.rates_per_s)[first:last] * factor
    cv = np.broadcast_to(np.asarray(found.cv(), dtype=np.float64), len(published.rates_per_s))[first:last]
    arrivals = renewed(rates, SLOT_S, thinned_cv(cv, factor), rng, distribution) - (start_s - first * SLOT_S)
    arrivals = arrivals[(arrivals >= 0) & (arrivals < end_s - start_s)]
    return sampled_sizes(arrivals, sizes, rng)


def mean_sizes(name: str, longest_tokens: int | None = None) -> tuple[float, float]:
    """Mean prompt and answer tokens of its requests; with a limit, of those that fit a context of so many tokens."""
    return _sizes(name, longest_tokens).mean_sizes()


def _sizes(name: str, longest_tokens: int | None) -> RequestTrace:
    trace = shipped_trace(workload(name).sizes)
    assert isinstance(trace, RequestTrace)  # noqa: S101 - the table below names files of requests
    if longest_tokens is None:
        return trace
    fitting = trace.fitting(longest_tokens)
    if not len(fitting):
        raise SimulationError(f"longest_tokens is {longest_tokens}; some request of {name} must fit")
    return fitting


def _windows(file: str, name: str) -> tuple[RateSeries, float]:
    trace = shipped_trace(file)
    assert isinstance(trace, RateTrace)  # noqa: S101 - the table below names files of rates
    return trace.series[name], trace.window_s


def _published(file: str, name: str) -> Rates:
    """Straight between the middles of windows; windows without a request are gaps of the recording."""

    def rates(_cold_start_s: float) -> Floats:
        series, window_s = _windows(file, name)
        return interpolated(series, window_s, SLOT_S)

    return rates


def _servegen_cv() -> Floats:
    series, window_s = _windows(RATES_SERVEGEN, "m-small")
    cvs = np.clip(series.cvs, 1.0, CV_MOST)
    return np.repeat(cvs, round(window_s / SLOT_S))


WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        "az24-code-week": Workload(
            kind=DIURNAL,
            tests="day and night, a swing of 38, weekends",
            sizes=CODE_2023,
            rates=_published(RATES_2024, "code"),
            cv=lambda: CV_CODE_2024,
        ),
        "az24-conv-week": Workload(
            kind=DIURNAL,
            tests="day and night, weekends",
            sizes=CONV_2023,
            rates=_published(RATES_2024, "conv"),
            cv=lambda: CV_CONV_2024,
        ),
        "sg-small-2w": Workload(
            kind=DIURNAL,
            tests="weak seasons, few clients that come and go",
            sizes=CONV_2023,
            rates=_published(RATES_SERVEGEN, "m-small"),
            cv=_servegen_cv,
        ),
        "az23-code-burst": Workload(kind="bursty", tests="bursts of seconds", sizes=CODE_2023, recorded=True),
        "az23-conv": Workload(kind="bursty", tests="an hour of single requests", sizes=CONV_2023, recorded=True),
        "mooncake-synthetic": Workload(
            kind="synthetic",
            tests="KV cache, prompts with shared beginnings",
            sizes="mooncake_synthetic.csv.gz",
            recorded=True,
        ),
        "aibrix-8min": Workload(
            kind="synthetic", tests="a ramp up and down", sizes="aibrix_8min_up_and_down.csv", recorded=True
        ),
        "step2x": Workload(kind="synthetic", tests="a step", sizes=CONV_2023, rates=lambda _: step(2.0)),
        "step5x": Workload(kind="synthetic", tests="a step", sizes=CONV_2023, rates=lambda _: step(5.0)),
        "ramp": Workload(kind="synthetic", tests="steady growth", sizes=CONV_2023, rates=lambda _: ramp()),
        "spike-10x-60s": Workload(
            kind="synthetic", tests="spikes shorter than a cold start", sizes=CONV_2023, rates=lambda _: spikes()
        ),
        "square-wave": Workload(
            kind="synthetic",
            tests="replicas that come when they are needed no longer",
            sizes=CONV_2023,
            rates=square_wave,
        ),
        "zero-to-n": Workload(
            kind="synthetic", tests="start from nothing and back", sizes=CONV_2023, rates=lambda _: zero_to_n()
        ),
    }
)
