"""From listings, scrapes and demand to one sample: how full a pool is and what is asked of it, or nothing if blind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from loop_values import DRAINING, LOST, POOL, START_S, STEPS, WARMING, replica

from controller.autoscale.capacity import demand_replicas
from controller.core.models import StepTimes
from controller.core.samples import EngineMetrics, PoolSample
from controller.loop.demand import Demand
from controller.loop.observe import sample_of, with_metrics

CALM = Demand(span_s=20.0)
ASKED = Demand(span_s=20.0, arrivals_per_s=5.0, spilled_per_s=1.0, input_tokens=200.0, output_tokens=100.0)
IDLE = EngineMetrics(running=0, waiting=0, kv_cache_usage_ratio=0.0)
BUSY = EngineMetrics(running=20, waiting=0, kv_cache_usage_ratio=0.5)
FULL = EngineMetrics(running=64, waiting=30, kv_cache_usage_ratio=0.9)


def observe(
    *replicas: str, demand: Demand | None = CALM, steps: StepTimes | None = STEPS, **engines: EngineMetrics
) -> PoolSample | None:
    """The sample of ready replicas with these names, where only those given figures answered."""
    ready = [replica(name) for name in replicas]
    return sample_of(POOL, steps, ready, engines, demand=demand, now_s=START_S)


@pytest.mark.parametrize(
    ("replicas", "demand", "engines", "blind"),
    [
        pytest.param(("a",), CALM, {"a": IDLE}, False, id="all answered"),
        pytest.param(("a", "b"), CALM, {"a": IDLE}, False, id="one of two answered"),
        pytest.param((), CALM, {}, False, id="no replica at all is known for sure"),
        pytest.param(("a",), CALM, {}, True, id="no replica answered"),
        pytest.param(("a",), None, {"a": IDLE}, True, id="no word from the gateway"),
        pytest.param((), None, {}, True, id="no word and no replica"),
    ],
)
def test_blind_is_none(
    replicas: tuple[str, ...], demand: Demand | None, engines: dict[str, EngineMetrics], blind: bool
) -> None:
    """Without the gateway's word, or any engine's, there is no sample: never one of zeros."""
    assert (observe(*replicas, demand=demand, **engines) is None) is blind


def test_replicas_are_counted_by_state() -> None:
    """Ready, warming and draining apart; a draining engine's figures are nobody's saturation."""
    fleet = [replica("a"), replica("w", WARMING), replica("d", DRAINING), replica("l", LOST)]
    seen = sample_of(POOL, STEPS, fleet, {"a": IDLE, "d": FULL}, demand=CALM, now_s=START_S)
    assert seen is not None
    assert (seen.replicas_ready, seen.replicas_warming, seen.replicas_draining) == (1, 1, 1)
    assert (seen.running, seen.waiting, seen.saturation_ratio) == (0, 0, 0.0)


def test_a_pool_is_as_full_as_its_emptiest_replica() -> None:
    """One replica with room is room; running and waiting add up."""
    both = observe("a", "b", a=FULL, b=IDLE)
    full = observe("a", "b", a=FULL, b=FULL)
    assert both is not None
    assert full is not None
    assert both.saturation_ratio == 0.0
    assert full.saturation_ratio > 1.0
    assert (both.running, both.waiting, both.kv_cache_usage_ratio) == (64, 30, 0.9)


def test_more_waiting_is_fuller() -> None:
    """Saturation rises with the queue and with the KV cache."""
    queues = [observe("a", a=EngineMetrics(running=20, waiting=n, kv_cache_usage_ratio=0.2)) for n in (0, 5, 20, 80)]
    caches = [observe("a", a=EngineMetrics(running=1, waiting=0, kv_cache_usage_ratio=k)) for k in (0.3, 0.6, 1.0)]
    for series in (queues, caches):
        ratios = [seen.saturation_ratio for seen in series if seen is not None]
        assert ratios == sorted(set(ratios))
        assert len(ratios) == len(series)


def test_what_the_gateway_refused_is_full() -> None:
    """Engines that look idle while the gateway turns requests away are full all the same."""
    refused = Demand(span_s=20.0, refused_now=1.0)
    seen = observe("a", demand=refused, a=IDLE)
    assert seen is not None
    assert (seen.saturation_ratio, seen.refused_now) == (1.0, 1.0)
    none_ready = observe(demand=refused)
    assert none_ready is not None
    assert none_ready.saturation_ratio == 0.0


def test_who_waits_in_the_gateway_counts_as_waiting() -> None:
    """An engine that is kept from a long queue is full all the same while others wait for a place in it."""
    held = observe("a", demand=replace(ASKED, waiting=30.0), a=BUSY)
    queued, seen = observe("a", demand=ASKED, a=FULL), observe("a", demand=ASKED, a=BUSY)
    assert held is not None
    assert queued is not None
    assert seen is not None
    assert held.saturation_ratio >= 1.0
    assert held.waiting == seen.waiting + 30
    assert held.demand_replicas == pytest.approx(queued.demand_replicas)
    zero = observe(demand=Demand(span_s=20.0, waiting=3.0))
    assert zero is not None
    assert (zero.saturation_ratio, zero.waiting) == (0.0, 3)
    assert zero.demand_replicas > 0.0


def test_demand_is_in_replicas_and_counts_what_left() -> None:
    """Arrivals are all that was asked of the pool, also what was served elsewhere; what waits comes on top."""
    seen, queued = observe("a", demand=ASKED, a=BUSY), observe("a", demand=ASKED, a=FULL)
    assert seen is not None
    assert queued is not None
    expected = demand_replicas(
        STEPS, POOL.engine, POOL.slo, requests_per_s=5.0, input_tokens=200.0, output_tokens=100.0
    )
    assert seen.demand_replicas == pytest.approx(expected)
    assert queued.demand_replicas == pytest.approx(expected * (1 + 30 / 20.0 / 5.0))
    assert (seen.arrivals_per_s, seen.spilled_per_s) == (5.0, 1.0)


def test_nothing_asked_is_no_demand() -> None:
    """Zero is zero, whatever sizes are left over from before."""
    seen = observe("a", a=BUSY)
    assert seen is not None
    assert seen.demand_replicas == 0.0


@pytest.mark.parametrize(
    ("metrics", "saturation", "demand"),
    [
        pytest.param(IDLE, 0.0, 0.0, id="idle"),
        pytest.param(EngineMetrics(running=32, waiting=0, kv_cache_usage_ratio=0.2), 0.5, 0.5, id="half its slots"),
        pytest.param(EngineMetrics(running=8, waiting=0, kv_cache_usage_ratio=0.8), 0.8, 0.125, id="by its cache"),
        pytest.param(EngineMetrics(running=64, waiting=64, kv_cache_usage_ratio=0.9), 2.0, 2.0, id="twice over"),
    ],
)
def test_an_engine_nobody_has_measured_is_judged_by_its_slots(
    metrics: EngineMetrics, saturation: float, demand: float
) -> None:
    """Without step times: open requests over slots, or the KV cache."""
    seen = observe("a", steps=None, a=metrics)
    assert seen is not None
    assert (seen.saturation_ratio, seen.demand_replicas) == (saturation, demand)


def test_a_replica_that_answers_carries_its_figures() -> None:
    """Newest figures with their time; without an answer the old ones with theirs; never seen is unknown."""
    seen = with_metrics(replica("a"), BUSY, None, START_S)
    assert (seen.running, seen.waiting, seen.kv_cache_usage_ratio, seen.seen_at_s) == (20, 0, 0.5, START_S)
    later = with_metrics(replica("a"), None, seen, START_S + 9.0)
    assert (later.running, later.seen_at_s) == (20, START_S)
    assert with_metrics(replica("a"), None, None, START_S).running is None
