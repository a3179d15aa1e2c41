"""Predicts the time to first token on one replica from what the gateway itself sent there, per request."""

from __future__ import annotations

from math import inf

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.core.records import record

# How many tokens a running answer still has to go, when nothing better is known.
REMAINING_TOKENS = 128


@record
class ReplicaLoad:
    """Work on one replica: requests in flight, prompt tokens not yet computed, answers under way and their context."""

    in_flight: int = 0
    pending_prefill_tokens: int = 0
    decoding: int = 0
    context_tokens: int = 0


def predict_ttft_s(load: ReplicaLoad, steps: StepTimes, engine: EngineArgs, *, input_tokens: int) -> float:
    """Seconds until the first token: wait for a slot and for KV cache, prompts queued ahead, then our own.

    Infinite when the prompt can never fit the KV cache.
    """
    if input_tokens > steps.kv_cache_tokens:
        return inf
    decoding = min(load.decoding, engine.max_num_seqs)
    context = min(load.context_tokens, steps.kv_cache_tokens)
    budget = max(1, engine.max_num_batched_tokens - decoding)
    full_steps, rest = divmod(load.pending_prefill_tokens + input_tokens, budget)
    prefill_s = steps.step_s(decoding, context, rest)
    if full_steps:
        prefill_s += full_steps * steps.step_s(decoding, context, budget)
    return _wait_s(load, steps, engine, input_tokens) + prefill_s


def _wait_s(load: ReplicaLoad, steps: StepTimes, engine: EngineArgs, input_tokens: int) -> float:
    """Seconds until enough answers have ended to free a slot and the KV cache this prompt needs."""
    endings = float(load.in_flight + 1 - engine.max_num_seqs)
    kv_missing = load.context_tokens + load.pending_prefill_tokens + input_tokens - steps.kv_cache_tokens
    decoding = max(1, load.decoding)
    if kv_missing > 0:
        endings = max(endings, kv_missing * decoding / max(1, load.context_tokens))
    if endings <= 0:
        return 0.0
    # `decoding` answers, each with REMAINING_TOKENS to go, end evenly spread over that time.
    return endings * REMAINING_TOKENS * steps.step_s(decoding, load.context_tokens, 0) / decoding
