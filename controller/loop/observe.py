"""Turns listings and scrapes into one `PoolSample`: how full a pool is and how much is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.autoscale.capacity import RequestWork, request_work
from controller.core.fleet import PoolView, Replica, ReplicaState
from controller.core.models import StepTimes
from controller.core.pools import Pool
from controller.core.samples import EngineMetrics, PoolSample
from controller.loop.demand import Demand, PoolDemand
from controller.loop.freshness import Standstills
from controller.loop.gateways import GatewaysWord
from controller.loop.views import Seen
from controller.routing.predict import ReplicaLoad, predict_ttft_s

TYPICAL_INPUT_TOKENS = 512.0  # until a request has come
LEAST_HEADROOM_RATIO = 0.25  # of the SLO: a prompt that takes all of it alone does not make an idle pool full


class PoolWatch:
    """One pool, from tick to tick: what its engines and the gateways say of it."""

    def __init__(self, pool: Pool, steps: StepTimes | None) -> None:
        self._pool = pool
        self._steps = steps
        self._demand = PoolDemand()
        self._standstills = Standstills()

    def takes(self, pool: Pool, steps: StepTimes | None) -> None:
        """The pool as it is configured from now on; what was counted so far still counts."""
        self._pool = pool
        self._steps = steps

    def look(
        self,
        replicas: tuple[Replica, ...],
        engines: Mapping[str, EngineMetrics],
        heard: GatewaysWord | None,
        last: PoolView | None,
        now_s: float,
    ) -> Seen:
        """The pool as of this tick; `last`: as published before."""
        engines = self._standstills.believed(replicas, engines, now_s)
        before = {one.replica_id: one for one in last.replicas} if last is not None else {}
        replicas = tuple(
            with_metrics(one, engines.get(one.replica_id), before.get(one.replica_id), now_s) for one in replicas
        )
        demand, silent = None, 0
        if heard is not None and self._pool.name in heard.pools:
            said = heard.pools[self._pool.name]
            demand, silent = self._demand.add(now_s, said), heard.count - len(said)
        sample = sample_of(
            self._pool, self._steps, replicas, engines, demand=demand, gateways_unknown=silent, now_s=now_s
        )
        return Seen(replicas=replicas, engines=engines, sample=sample)


def with_metrics(replica: Replica, metrics: EngineMetrics | None, before: Replica | None, now_s: float) -> Replica:
    """The replica with its newest figures; the old ones, dated, when it did not answer."""
    if metrics is not None:
        return replace(
            replica,
            running=metrics.running,
            waiting=metrics.waiting,
            kv_cache_usage_ratio=metrics.kv_cache_usage_ratio,
            seen_at_s=now_s,
        )
    if before is None:
        return replica
    return replace(
        replica,
        running=before.running,
        waiting=before.waiting,
        kv_cache_usage_ratio=before.kv_cache_usage_ratio,
        seen_at_s=before.seen_at_s,
    )


def sample_of(
    pool: Pool,
    steps: StepTimes | None,
    replicas: Sequence[Replica],
    engines: Mapping[str, EngineMetrics],
    *,
    demand: Demand | None,
    gateways_unknown: int = 0,
    now_s: float,
) -> PoolSample | None:
    """The sample of this tick; None when blind: no word from any gateway, or from none of the ready replicas."""
    ready = [replica for replica in replicas if replica.state is ReplicaState.READY]
    known = [engines[replica.replica_id] for replica in ready if replica.replica_id in engines]
    if demand is None or (ready and not known):
        return None
    saturation = min((_saturation(pool, steps, metrics, demand) for metrics in known), default=0.0)
    if known and (demand.refused_now > 0 or demand.waiting > 0):
        saturation = max(1.0, saturation)
    waiting = sum(metrics.waiting for metrics in known) + round(demand.waiting)
    work = _request_work(pool, steps, demand)
    came = demand.input_tokens + demand.output_tokens > 0.0
    return PoolSample(
        at_s=now_s,
        replicas_ready=len(ready),
        replicas_warming=sum(1 for replica in replicas if replica.state is ReplicaState.WARMING),
        replicas_draining=sum(1 for replica in replicas if replica.state is ReplicaState.DRAINING),
        running=sum(metrics.running for metrics in known),
        waiting=waiting,
        kv_cache_usage_ratio=max((metrics.kv_cache_usage_ratio for metrics in known), default=0.0),
        saturation_ratio=saturation,
        arrivals_per_s=demand.arrivals_per_s,
        spilled_per_s=demand.spilled_per_s,
        demand_replicas=_demand_replicas(pool, work, known, demand),
        ttft_p95_s=demand.ttft_p95_s,
        replicas_unknown=len(ready) - len(known),
        gateways_unknown=gateways_unknown,
        refused_now=demand.refused_now + demand.waiting,
        input_tokens=demand.input_tokens,
        output_tokens=demand.output_tokens,
        bound_ratio=min(1.0, max(0.0, demand.bound_ratio)),
        request_gpu_s=work.gpu_s if came and work is not None else None,
        prompt_s=work.prompt_s if came and work is not None else 0.0,
        ttft_slo_s=None if work is None else pool.slo.ttft_p95_s,
    )


def _saturation(pool: Pool, steps: StepTimes | None, metrics: EngineMetrics, demand: Demand) -> float:
    """How full one replica is: the wait of a new request over what the SLO leaves for waiting, or its KV cache."""
    if steps is None:
        slots = (metrics.running + metrics.waiting) / pool.engine.max_num_seqs
        return max(metrics.kv_cache_usage_ratio, slots)
    tokens = round(demand.input_tokens or TYPICAL_INPUT_TOKENS)
    load = ReplicaLoad(
        in_flight=metrics.running + metrics.waiting,
        pending_prefill_tokens=metrics.waiting * tokens,
        decoding=metrics.running,
        context_tokens=round(metrics.kv_cache_usage_ratio * steps.kv_cache_tokens),
    )
    alone_s = predict_ttft_s(ReplicaLoad(), steps, pool.engine, input_tokens=tokens)
    wait_s = predict_ttft_s(load, steps, pool.engine, input_tokens=tokens) - alone_s
    slo_s = pool.slo.ttft_p95_s
    return max(metrics.kv_cache_usage_ratio, wait_s / max(slo_s - alone_s, LEAST_HEADROOM_RATIO * slo_s))


def _request_work(pool: Pool, steps: StepTimes | None, demand: Demand) -> RequestWork | None:
    """What a request of the size that comes costs a replica."""
    if steps is None:
        return None
    return request_work(
        steps, pool.engine, pool.slo, input_tokens=demand.input_tokens, output_tokens=demand.output_tokens
    )


def _demand_replicas(pool: Pool, work: RequestWork | None, known: Sequence[EngineMetrics], demand: Demand) -> float:
    """Work offered per second, and what waits on top, to be worked off within one window."""
    if work is None:
        running = sum(metrics.running + metrics.waiting for metrics in known)
        return (running + demand.waiting) / pool.engine.max_num_seqs
    waiting = sum(metrics.waiting for metrics in known) + demand.waiting
    return (demand.arrivals_per_s + waiting / demand.span_s) * work.gpu_s
