"""A pool of round numbers for the tests of baselines: 10 requests/s, 40 in flight and 100,000 KV tokens per replica."""

from array import array
from collections.abc import Iterable
from typing import Any

from controller.core.models import StepTimes
from controller.replay.baselines.pool_facts import PoolFacts
from controller.replay.simulation_types import Autoscaler, Curve, Economics, Seen

STEPS = StepTimes(
    alpha_ms=10,
    beta_ms_per_seq=0.1,
    gamma_ms_per_1k_context=0,
    correction=1,
    p0_ms=10,
    p1_ms_per_1k=50,
    p2_ms_per_1k_sq=0,
    kv_cache_tokens=100_000,
)


def economics(**changed: Any) -> Economics:
    """Replicas of 0.001 $/s, spill of 0.0002 $: a replica pays from half its use on."""
    return Economics(
        **{
            "replica_usd_per_s": 0.001,
            "spill_usd_per_request": 0.0002,
            "replica_requests_per_s": 10.0,
            "cold_start_s": 240.0,
            "max_replicas": 50,
            **changed,
        }
    )


def facts(rates_per_s: Iterable[float] = (), *, slot_s: float = 60.0, **changed: Any) -> PoolFacts:
    """The pool, with a demand curve where rates are given; `changed` goes to its economics."""
    rates = array("d", rates_per_s)
    return PoolFacts(
        economics=economics(**changed),
        replica_concurrency=40,
        kv_tokens=100_000,
        steps=STEPS,
        ttft_slo_s=2.0,
        tpot_slo_s=0.05,
        curve=Curve(name="test", slot_s=slot_s, rates_per_s=rates, kind="synthetic") if rates else None,
    )


def seen(ready: int = 4, starting: int = 0, **changed: Any) -> Seen:
    """A quiet pool; rates are per second, `running` and `waiting` are sums."""
    return Seen(
        **{
            "ready": ready,
            "starting": starting,
            "running": 0.0,
            "waiting": 0.0,
            "kv_usage_ratio": 0.0,
            "arrivals_per_s": 0.0,
            "served_per_s": 0.0,
            "spilled_per_s": 0.0,
            "demand_replicas": 0.0,
            "ttft_p95_s": None,
            "tpot_mean_s": None,
            "input_tokens_mean": 1000.0,
            "output_tokens_mean": 200.0,
            **changed,
        }
    )


def wishes(policy: Autoscaler, *sights: Seen, from_s: float = 0.0) -> list[int]:
    """What the policy wishes, step by step, one period apart."""
    return [policy.step(sight, from_s + n * policy.period_s).replicas for n, sight in enumerate(sights)]


def steady(policy: Autoscaler, sight: Seen, for_s: float, from_s: float = 0.0) -> list[int]:
    """What it wishes while it sees the same for so long."""
    return wishes(policy, *[sight] * (int(for_s / policy.period_s) + 1), from_s=from_s)
