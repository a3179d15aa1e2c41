"""Streams of requests: recorded ones cut and scaled, made ones given sizes."""

from __future__ import annotations

import numpy as np

from controller.core.errors import SimulationError
from controller.replay.trace_files_types import Blocks, Counts, Floats, Indices, RequestTrace

JITTER_S = 0.5  # a copy comes within the second around its original


def cut(trace: RequestTrace, start_s: float, end_s: float) -> RequestTrace:
    """The requests from `start_s` to before `end_s`, with times from `start_s`."""
    first, last = np.searchsorted(trace.arrivals_s, (start_s, end_s))
    part = trace.taken(np.arange(first, last, dtype=np.int64))
    return _at(part, part.arrivals_s - start_s, part.blocks)


def repeated(trace: RequestTrace, factor: float, rng: np.random.Generator) -> RequestTrace:
    """The trace with `factor` times as many requests, without a change of its course.

    Each request stays with the probability `factor`, or has so many copies in the mean. Copies come within the second
    around their original, and their prompts share beginnings among those of the same copy only.
    """
    if not 0 <= factor < np.inf:
        raise SimulationError(f"factor is {factor:g}; it must be a finite number >= 0")
    whole, part = divmod(factor, 1.0)
    counts = int(whole) + (rng.random(len(trace)) < part)
    order = np.repeat(np.arange(len(trace)), counts)
    copy = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    moved = trace.arrivals_s[order] + np.where(copy > 0, rng.uniform(-JITTER_S, JITTER_S, len(order)), 0.0)
    span_s = float(trace.arrivals_s[-1]) if len(trace) else 0.0
    arrivals = np.clip(moved, 0.0, span_s)
    sorted_ = np.argsort(arrivals, kind="stable")
    order, copy, arrivals = order[sorted_], copy[sorted_], arrivals[sorted_]
    taken = trace.taken(order)
    return _at(taken, arrivals, None if taken.blocks is None else _apart(taken.blocks, copy))


def sampled_sizes(arrivals_s: Floats, rows: RequestTrace, rng: np.random.Generator) -> RequestTrace:
    """Requests at these times, with prompt and answer lengths drawn together from recorded rows."""
    drawn = rng.integers(0, len(rows), len(arrivals_s))
    return RequestTrace(
        arrivals_s=arrivals_s,
        input_tokens=_at_least_one(rows.input_tokens[drawn]),
        output_tokens=_at_least_one(rows.output_tokens[drawn]),
    )


def _at(trace: RequestTrace, arrivals_s: Floats, blocks: Blocks | None) -> RequestTrace:
    return RequestTrace(
        arrivals_s=arrivals_s,
        input_tokens=_at_least_one(trace.input_tokens),
        output_tokens=_at_least_one(trace.output_tokens),
        blocks=blocks,
    )


def _at_least_one(tokens: Counts) -> Counts:
    """An engine computes and answers at least a token."""
    return np.maximum(tokens, np.int32(1))


def _apart(blocks: Blocks, copy: Indices) -> Blocks:
    """Block numbers moved so that requests of different copies share none."""
    stride = int(blocks.ids.max(initial=0)) + 1
    lengths = blocks.offsets[1:] - blocks.offsets[:-1]
    return Blocks(
        block_tokens=blocks.block_tokens, offsets=blocks.offsets, ids=blocks.ids + np.repeat(copy, lengths) * stride
    )
