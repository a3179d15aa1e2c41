"""Step times from closed-loop points (so many callers, each sending anew when answered), across tensor parallelism.

In such a loop every other answer waits once for each prompt: `TPOT = step(B, context) + (B-1)/O * prompt(I)`. That is
linear in the constants of a step, and each constant is a part that more GPUs do not help and a part that they share,
`constant = fixed + shared/TP`; so ten numbers, none negative, explain a model on one kind of GPU (`fit_scaling`).
Points whose context does not fit the KV cache queue: they are no use for that fit, and tell the cache's size instead.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls  # type: ignore[import-untyped]  # scipy has no types

from controller.core.errors import TraceError
from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.replay.calibration import shipped_lines
from controller.replay.fast_engine import FastEngine

ROUNDS = 5  # requests of each caller in a played point
_ARGS = EngineArgs(
    max_num_seqs=256,
    max_num_batched_tokens=8192,
    max_model_len_tokens=16384,
    block_size_tokens=128,  # not vLLM's 16: an eighth of the work for 1 % of a sequence's room
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoopPoint:
    """One measured point: what was asked, and the mean times that came of it."""

    model: str
    weights: str  # "" where the source does not say: those of the model as published
    tensor_parallel: int
    input_tokens: int
    output_tokens: int
    concurrency: int
    ttft_ms: float
    tpot_ms: float

    def fits(self, kv_cache_tokens: int) -> bool:
        """All callers' answers have room at once, half done as they are on average."""
        return self.concurrency * (self.input_tokens + self.output_tokens / 2) <= kv_cache_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingFit:
    """Step times for any tensor parallelism: `fixed + shared/TP` for alpha, beta, gamma, p1, p2."""

    fixed: tuple[float, ...]
    shared: tuple[float, ...]

    def steps(self, tensor_parallel: int, kv_cache_tokens: int) -> StepTimes:
        """Those of one engine."""
        constants = (fixed + shared / tensor_parallel for fixed, shared in zip(self.fixed, self.shared, strict=True))
        return StepTimes.measured(constants, kv_cache_tokens=kv_cache_tokens)


def shipped_points() -> tuple[ClosedLoopPoint, ...]:
    """Measured points of vLLM on H100 in this package that say how many callers there were; see data/README.md."""
    return read_points(shipped_lines("vllm_h100_closed_loop.csv"))


def read_points(lines: Iterable[str]) -> tuple[ClosedLoopPoint, ...]:
    """Points from CSV in the columns of the shipped file; rows without a concurrency are left out."""
    found = []
    for number, row in enumerate(csv.DictReader(lines), start=2):
        try:
            if row["concurrency"]:
                found.append(_point(row))
        except (KeyError, TypeError, ValueError) as problem:
            raise TraceError(f"line {number}: a column is missing or no number: {problem}") from None
    return tuple(found)


def fit_scaling(points: Sequence[ClosedLoopPoint]) -> ScalingFit:
    """The constants with the least squares of relative TPOT errors, none negative; points that queue are the caller's
    to leave out.
    """
    rows = np.array([_row(point) / point.tpot_ms for point in points])
    found, _ = nnls(rows, np.ones(len(points)))
    return ScalingFit(fixed=tuple(map(float, found[:5])), shared=tuple(map(float, found[5:])))


def play_point(point: ClosedLoopPoint, steps: StepTimes, *, rounds: int = ROUNDS) -> tuple[float, float]:
    """Mean TTFT and TPOT in ms of the model under the point's load, `rounds` requests of each caller.

    Prompts differ. Where the cache is too small they are held in it as vLLM does, so that a sequence which was
    preempted finds its prompt again.
    """
    model = FastEngine(steps, _ARGS, steps.kv_cache_tokens)
    blocks = 0 if point.fits(steps.kv_cache_tokens) else point.input_tokens // _ARGS.block_size_tokens
    sent_s: list[float] = []
    first_s: dict[object, float] = {}
    ttft_s = tpot_s = 0.0

    def send(now_s: float) -> None:
        name = len(sent_s)
        sent_s.append(now_s)
        prompt = tuple(range(name * blocks, (name + 1) * blocks))
        model.arrive(now_s, name, point.input_tokens, point.output_tokens, prompt)

    for _ in range(point.concurrency):
        send(0.0)
    total = point.concurrency * rounds
    ended = 0
    while ended < total:
        woken = model.wake()
        first_s.update(dict.fromkeys(woken.first, woken.at_s))
        for name in woken.finished:
            ttft_s += first_s[name] - sent_s[name]  # type: ignore[call-overload]  # names are our own integers
            tpot_s += (woken.at_s - first_s[name]) / (point.output_tokens - 1)
            ended += 1
        for _ in woken.finished[: total - len(sent_s)]:
            send(woken.at_s)
    return 1e3 * ttft_s / total, 1e3 * tpot_s / total


def kv_tokens_explaining(point: ClosedLoopPoint, fit: ScalingFit, *, least: int, most: int) -> int:
    """The KV cache with which a point that queues has its measured TTFT, by halving; within 5 % of the range."""
    low, high = least, most
    while high - low > (most - least) / 20:
        middle = (low + high) // 2
        ttft_ms, _ = play_point(point, fit.steps(point.tensor_parallel, middle))
        low, high = (middle, high) if ttft_ms > point.ttft_ms else (low, middle)
    return (low + high) // 2


def _row(point: ClosedLoopPoint) -> NDArray[np.float64]:
    """What each of the ten numbers counts for in the TPOT of a point, in ms."""
    callers = point.concurrency
    prompts = (callers - 1) / point.output_tokens
    kilo = point.input_tokens / 1000.0
    context_kilo = callers * (point.input_tokens + point.output_tokens / 2) / 1000.0
    once = np.array([1.0, callers, context_kilo, prompts * kilo, prompts * kilo * kilo])
    return np.concatenate([once, once / point.tensor_parallel])


def _point(row: dict[str, str]) -> ClosedLoopPoint:
    return ClosedLoopPoint(
        model=row["model_path"],
        weights=row["gemm_quant_mode"],
        tensor_parallel=int(float(row["tp_size"])),
        input_tokens=int(row["isl"]),
        output_tokens=int(row["osl"]),
        concurrency=int(float(row["concurrency"])),
        ttft_ms=float(row["ttft_ms"]),
        tpot_ms=float(row["tpot_ms"]),
    )
