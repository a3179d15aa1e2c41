"""What one replica can do within its SLO, from the step times of its model and GPU.

A request of I input and O output tokens costs `P(I) + O * T(B) / B` seconds of one replica, where P is the time to
compute its prompt and T(B) that of one iteration with B answers under way. The best B is the largest one that keeps the
time per output token, `T(B) + B * P(I) / O`, and the KV cache, `B * (I + O/2)`, within limits: cost falls as B grows.
That formula met 100 measured points of vLLM 70B FP8 within 1.4-7.9 % (see controller/catalogue/step_times.yaml).
"""

from __future__ import annotations

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs, Slo

KV_USABLE_RATIO = 0.9  # fuller, vLLM preempts


def prefill_s(steps: StepTimes, engine: EngineArgs, input_tokens: float) -> float:
    """Seconds that a prompt adds to iterations, computed in chunks of the token budget."""
    budget = engine.max_num_batched_tokens
    full, rest = divmod(max(0.0, input_tokens), budget)
    return full * _chunk_s(steps, budget) + _chunk_s(steps, rest)


def _chunk_s(steps: StepTimes, tokens: float) -> float:
    kilo = tokens / 1000.0
    return (steps.p1_ms_per_1k * kilo + steps.p2_ms_per_1k_sq * kilo * kilo) / 1000.0


def batch_at_slo(steps: StepTimes, engine: EngineArgs, slo: Slo, input_tokens: float, output_tokens: float) -> int:
    """The most answers at once that keep the SLO for time per output token; 1 when even that one does not."""
    output = max(1.0, output_tokens)
    prefill = prefill_s(steps, engine, input_tokens)
    context = input_tokens + output / 2
    low, high = 1, max(1, min(engine.max_num_seqs, int(KV_USABLE_RATIO * steps.kv_cache_tokens / max(1.0, context))))
    while low < high:
        middle = (low + high + 1) // 2
        tpot_s = steps.step_s(middle, round(middle * context), 0) + middle * prefill / output
        if tpot_s <= slo.tpot_p95_s:
            low = middle
        else:
            high = middle - 1
    return low


def gpu_seconds_per_request(
    steps: StepTimes, engine: EngineArgs, slo: Slo, *, input_tokens: float, output_tokens: float
) -> float:
    """Seconds of one replica that a request of this size costs at SLO capacity; its inverse is requests per second."""
    output = max(1.0, output_tokens)
    batch = batch_at_slo(steps, engine, slo, input_tokens, output)
    step_s = steps.step_s(batch, round(batch * (input_tokens + output / 2)), 0)
    return prefill_s(steps, engine, input_tokens) + output * step_s / batch


def demand_replicas(
    steps: StepTimes, engine: EngineArgs, slo: Slo, *, requests_per_s: float, input_tokens: float, output_tokens: float
) -> float:
    """How many replicas at SLO capacity this demand keeps busy."""
    if requests_per_s <= 0.0:
        return 0.0
    return requests_per_s * gpu_seconds_per_request(
        steps, engine, slo, input_tokens=input_tokens, output_tokens=output_tokens
    )
