"""Step times of an engine from what was measured of it: a user's own run, or the run that ships in `data/`.

A run is a list of requests with the times of their first and last tokens. `fit_run` looks for the step times with
which the engine model, given the same arrivals, gives these times; it starts from what memory bandwidth and arithmetic
allow (`roofline`) and varies five constants by least squares, however long the run is.
"""

from __future__ import annotations

import csv
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares  # type: ignore[import-untyped]  # scipy has no types

from controller.core.errors import TraceError
from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.replay.fast_engine import FastEngine, Woken

COLUMNS = ("arrival_s", "input_tokens", "output_tokens", "first_token_s", "last_token_s")
_STEPS = (
    0.05,
    0.02,
    0.05,
)  # of the finite differences: with smaller ones the jumps of single requests are all one sees
_RUNS_MAX = 25
_TPOT_WEIGHT = 3.0  # inter-token times vary little and are known well


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRequest:
    """One request of a measured run; all times count from its start."""

    arrival_s: float
    input_tokens: int
    output_tokens: int
    first_token_s: float
    last_token_s: float

    @property
    def ttft_s(self) -> float:
        """Until the first token."""
        return self.first_token_s - self.arrival_s

    @property
    def tpot_s(self) -> float:
        """Mean time of each further token; 0 when there is none."""
        return (self.last_token_s - self.first_token_s) / max(1, self.output_tokens - 1)

    @property
    def e2e_s(self) -> float:
        """Until the last token."""
        return self.last_token_s - self.arrival_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a gauge shows of the engine at one moment."""

    at_s: float
    running: int
    waiting: int
    kv_used_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """The same requests as the model serves them, and its gauges."""

    requests: tuple[ObservedRequest, ...]
    samples: tuple[Sample, ...]


def read_run(lines: Iterable[str], *, run: str | None = None) -> tuple[ObservedRequest, ...]:
    """A measured run from CSV with at least `COLUMNS`, in order of arrival; TraceError names what is wrong.

    Of a file with several runs, `run` is the one whose rows have this in their column `run`.
    """
    rows = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise TraceError(f"line 1: the columns {','.join(COLUMNS)} are needed; {','.join(missing)} are missing")
    found = [_request(number, row) for number, row in enumerate(rows, start=2) if run is None or row.get("run") == run]
    if not found:
        raise TraceError("the run has no rows; at least one is needed")
    return tuple(sorted(found, key=lambda request: request.arrival_s))


def shipped_run() -> tuple[ObservedRequest, ...]:
    """The measured run in this package; see data/README.md for what it is and its licence."""
    return read_run(shipped_lines("vllm_rtxpro6000_llama31_8b_requests.csv"))


def shipped_lines(name: str) -> list[str]:
    """The lines of a file in data/."""
    return files("controller.replay").joinpath(f"data/{name}").read_text(encoding="ascii").splitlines()


def roofline(
    *, weight_bytes: float, bytes_per_s: float, flop_per_token: float, flop_per_s: float, kv_bytes_per_token: int
) -> StepTimes:
    """Step times by arithmetic alone: a step reads the weights and the context once, a prompt token costs its flops."""
    read_ms = 1000.0 * weight_bytes / bytes_per_s
    return StepTimes(
        alpha_ms=read_ms,
        beta_ms_per_seq=1e3 * flop_per_token / flop_per_s,
        gamma_ms_per_1k_context=1e6 * kv_bytes_per_token / bytes_per_s,
        correction=1.0,
        p0_ms=read_ms,
        p1_ms_per_1k=1e6 * flop_per_token / flop_per_s,
        p2_ms_per_1k_sq=0.01 * 1e6 * flop_per_token / flop_per_s,
        kv_cache_tokens=0,
    )


def play(
    requests: Sequence[ObservedRequest], steps: StepTimes, engine: EngineArgs, *, sample_every_s: float = 1.0
) -> Played:
    """Give the model the arrivals and sizes of a run; only the token times in the answer are its own."""
    model = FastEngine(steps, engine, steps.kv_cache_tokens)
    first_s: dict[Hashable, float] = {}
    last_s: dict[Hashable, float] = {}
    samples: list[Sample] = []

    def note(seen: Iterable[Woken]) -> None:
        for woken in seen:
            first_s.update(dict.fromkeys(woken.first, woken.at_s))
            last_s.update(dict.fromkeys(woken.finished, woken.at_s))

    def sample(until_s: float) -> None:
        while (at_s := (len(samples) + 1) * sample_every_s) <= until_s:
            note(model.advance(at_s))
            samples.append(
                Sample(at_s=at_s, running=model.running, waiting=model.waiting, kv_used_ratio=model.kv_used_ratio)
            )

    for name, request in enumerate(requests):
        sample(request.arrival_s)
        note(model.advance(request.arrival_s))
        model.arrive(request.arrival_s, name, request.input_tokens, request.output_tokens)
    while len(last_s) < len(requests):
        sample((len(samples) + 1) * sample_every_s)
    return Played(
        requests=tuple(
            replace(request, first_token_s=first_s[name], last_token_s=last_s[name])
            for name, request in enumerate(requests)
        ),
        samples=tuple(samples),
    )


def fit_run(
    observed: Sequence[ObservedRequest], engine: EngineArgs, start: StepTimes, *, judged: Sequence[int] | None = None
) -> StepTimes:
    """The step times that explain a run best. All arrivals are played; only the times of `judged` requests are looked
    at, all of them by default, so that the others can test the fit.
    """
    chosen = list(range(len(observed)) if judged is None else judged)
    names = ("alpha_ms", "beta_ms_per_seq", "gamma_ms_per_1k_context", "p1_ms_per_1k", "p2_ms_per_1k_sq")
    scale = np.array([getattr(start, name) for name in names], dtype=np.float64)
    wanted = _features([observed[index] for index in chosen])

    def candidate(factors: NDArray[np.float64]) -> StepTimes:
        alpha, beta, gamma, p1, p2 = (float(value) for value in scale * np.exp(factors - 1.0))
        return replace(
            start,
            alpha_ms=alpha,
            p0_ms=alpha,
            beta_ms_per_seq=beta,
            gamma_ms_per_1k_context=gamma,
            p1_ms_per_1k=p1,
            p2_ms_per_1k_sq=p2,
        )

    def errors(factors: NDArray[np.float64]) -> NDArray[np.float64]:
        played = play(observed, candidate(factors), engine).requests
        return _features([played[index] for index in chosen]) - wanted

    at = np.ones(5)  # steps are relative to it
    for step in _STEPS:
        at = least_squares(errors, at, diff_step=step, max_nfev=_RUNS_MAX, bounds=(-2.0, 4.0)).x
    return candidate(at)


def _features(requests: Sequence[ObservedRequest]) -> NDArray[np.float64]:
    """What is compared, as logarithms, so that all errors are relative."""
    ttft = np.log([request.ttft_s for request in requests])
    tpot = np.log([request.tpot_s for request in requests if request.output_tokens > 1])
    return np.concatenate([ttft, _TPOT_WEIGHT * tpot])


def _request(number: int, row: dict[str, str]) -> ObservedRequest:
    try:
        found = ObservedRequest(
            arrival_s=float(row["arrival_s"]),
            input_tokens=int(row["input_tokens"]),
            output_tokens=int(row["output_tokens"]),
            first_token_s=float(row["first_token_s"]),
            last_token_s=float(row["last_token_s"]),
        )
    except (TypeError, ValueError):
        raise TraceError(
            f"line {number}: numbers are needed in {','.join(COLUMNS)}, not {list(row.values())}"
        ) from None
    if not (found.input_tokens >= 1 and found.output_tokens >= 1 and found.arrival_s < found.first_token_s):
        raise TraceError(f"line {number}: tokens must be >= 1 and first_token_s later than arrival_s")
    if not found.first_token_s <= found.last_token_s < float("inf"):
        raise TraceError(f"line {number}: last_token_s must be finite and not before first_token_s")
    return found
