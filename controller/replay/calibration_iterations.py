"""Step times from what an engine noted of its own iterations: no search, one linear least squares.

A `Stretch` is a run of iterations one after the other with what they worked on and how long they took in all. Single
iterations are no use: an engine that schedules ahead sees the end of one only after it has launched the next, so a
long prompt is partly booked on the iteration before it. Over a stretch that begins and ends with answers alone the sum
is right. `StepTimes` is linear in its constants as long as every prompt chunk takes longer than what it hides.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls  # type: ignore[import-untyped]  # scipy has no types

from controller.core.errors import TraceError
from controller.core.models import StepTimes

COLUMNS = (
    "run",
    "duration_ms",
    "iterations",
    "decodes",
    "context_tokens",
    "mixed_iterations",
    "prefill_tokens",
    "prefill_squares",
    "mixed_context_tokens",
)
_WEIGHT = 0.75  # errors grow with the duration, less than in proportion: 1 fits short stretches only, 0.5 long ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Iterations in a row, summed. `mixed` ones have prompts in them; squares as in `StepTimes.step_s`."""

    run: str
    duration_ms: float
    iterations: int
    decodes: int
    context_tokens: int
    mixed_iterations: int
    prefill_tokens: int
    prefill_squares: int
    mixed_context_tokens: int


def read_stretches(lines: Iterable[str]) -> tuple[Stretch, ...]:
    """Stretches from CSV with the columns `COLUMNS`; TraceError names what is wrong."""
    found = []
    for number, row in enumerate(csv.DictReader(lines), start=2):
        try:
            counts = {name: int(row[name]) for name in COLUMNS[2:]}
            stretch = Stretch(run=row["run"], duration_ms=float(row["duration_ms"]), **counts)
        except (KeyError, TypeError, ValueError) as problem:
            raise TraceError(f"line {number}: a column is missing or no number: {problem}") from None
        if not 0.0 < stretch.duration_ms < float("inf") or stretch.iterations < 1:
            raise TraceError(f"line {number}: duration_ms must be above 0 and finite, iterations at least 1")
        found.append(stretch)
    return tuple(found)


def fit_stretches(stretches: Sequence[Stretch], kv_cache_tokens: int, *, schedules_ahead: bool = False) -> StepTimes:
    """The constants, none negative, with which the stretches would have lasted most nearly as long as they did.

    Whether the engine schedules ahead does not show in its iterations: who measured it says so.
    """
    if not stretches:
        raise TraceError("there are no stretches of iterations; at least one is needed")
    durations_ms = np.array([stretch.duration_ms for stretch in stretches])
    weights = durations_ms**-_WEIGHT
    rows = np.array([_row(stretch) for stretch in stretches])
    found, _ = nnls(rows * weights[:, None], durations_ms * weights)
    return StepTimes.measured(
        map(float, found[:5]),
        kv_cache_tokens=kv_cache_tokens,
        overlap_ms=float(found[5]),
        mixed_gamma_ms_per_1k_context=float(found[6]),
        schedules_ahead=schedules_ahead,
    )


def expected_ms(stretch: Stretch, steps: StepTimes) -> float:
    """How long the stretch lasts by these step times, which have nothing to correct."""
    constants = (
        steps.alpha_ms,
        steps.beta_ms_per_seq,
        steps.gamma_ms_per_1k_context,
        steps.p1_ms_per_1k,
        steps.p2_ms_per_1k_sq,
        steps.overlap_ms,
        steps.mixed_gamma_ms_per_1k_context,
    )
    return sum(constant * part for constant, part in zip(constants, _row(stretch), strict=True))


def _row(stretch: Stretch) -> tuple[float, ...]:
    """What each constant counts for."""
    return (
        stretch.iterations,
        stretch.decodes,
        stretch.context_tokens / 1e3,
        stretch.prefill_tokens / 1e3,
        stretch.prefill_squares / 1e6,
        -stretch.mixed_iterations,
        stretch.mixed_context_tokens / 1e3,
    )
