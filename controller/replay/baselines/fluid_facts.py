"""What an operator would know of the pool that the fluid simulation runs, so that no baseline is set up for another."""

from __future__ import annotations

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.replay.baselines.pool_facts import PoolFacts
from controller.replay.fluid_pool import ReplicaShape
from controller.replay.simulation_types import Curve, Economics

_USUAL = EngineArgs(max_num_seqs=256)


def fluid_facts(
    economics: Economics, shape: ReplicaShape, curve: Curve | None = None, *, engine: EngineArgs = _USUAL
) -> PoolFacts:
    """Facts of `shape` at the prices of `economics`, with the slots and the token budget of `engine`.

    Its time per token grows with the batch alone, so all of that growth is the prefill that goes on beside decodes, and
    the KV cache is as large as its use at the SLO says.
    """
    batch = shape.running(economics.replica_requests_per_s, 1.0)
    growth_s = (shape.tpot_at_slo_s - shape.tpot_idle_s) / batch
    kv_tokens = batch * (shape.input_tokens + shape.output_tokens / 2) / shape.kv_usage_at_slo_ratio
    return PoolFacts(
        economics=economics,
        replica_concurrency=batch,
        kv_tokens=kv_tokens,
        steps=StepTimes(
            alpha_ms=1000 * shape.tpot_idle_s,
            beta_ms_per_seq=0.0,
            gamma_ms_per_1k_context=0.0,
            correction=1.0,
            p0_ms=1000 * shape.tpot_idle_s,
            p1_ms_per_1k=1e6 * growth_s * shape.output_tokens / shape.input_tokens,
            p2_ms_per_1k_sq=0.0,
            kv_cache_tokens=round(kv_tokens),
        ),
        ttft_slo_s=shape.ttft_slo_s,
        tpot_slo_s=shape.tpot_at_slo_s,
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        curve=curve,
    )
