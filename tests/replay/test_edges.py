"""Pools at the edge of what there can be: every policy and every optimum has an answer that is right."""

from __future__ import annotations

import math
from typing import Any

import pytest

from controller.replay.baselines.fluid_facts import fluid_facts
from controller.replay.contest_field import entrants
from controller.replay.fluid import FluidRun, offered_requests, simulate
from controller.replay.fluid_pool import ReplicaShape
from controller.replay.oracle import constant_best, optimum
from controller.replay.oracle_nearsighted import nearsighted
from controller.replay.production import ProductionPolicy
from controller.replay.simulation_types import Curve, Economics

SLOT_S = 10.0
STEPS = [9.0] * 9 + [0.0] * 9 + [22.0] * 9 + [3.0] * 9  # requests/s; a replica does 5
PLAIN: dict[str, Any] = {
    "replica_usd_per_s": 0.01,
    "spill_usd_per_request": 0.004,  # a replica pays from half of its use on
    "replica_requests_per_s": 5.0,
    "cold_start_s": 60.0,
    "max_replicas": 8,
}
FORBIDDEN = {"spill_usd_per_request": math.inf}
EDGES: dict[str, tuple[dict[str, Any], int]] = {  # and what ours has in the end for a steady 22 requests/s
    "no cold start": ({"cold_start_s": 0.0}, 4),
    "a cold start longer than all demand": ({"cold_start_s": 1e6}, 5),
    "spilling forbidden": (FORBIDDEN, 5),
    "forbidden and no cold start": (FORBIDDEN | {"cold_start_s": 0.0}, 5),
    "forbidden and at most one replica": (FORBIDDEN | {"max_replicas": 1}, 1),
    "spilling is free": ({"spill_usd_per_request": 0.0}, 0),
    "replicas are free": ({"replica_usd_per_s": 0.0}, 5),
    "nothing costs anything": ({"replica_usd_per_s": 0.0, "spill_usd_per_request": 0.0}, 5),
    "at most one replica": ({"max_replicas": 1}, 1),
    "exactly one replica": ({"min_replicas": 1, "max_replicas": 1}, 1),
    "no replica at all": ({"max_replicas": 0}, 0),
    "always the most": ({"min_replicas": 8}, 8),
    "providers take nothing": ({"spill_limit_per_s": 0.0}, 5),
}
CURVES = {"steps": STEPS, "nobody": [0.0] * 6, "one slot": [7.0]}


def pool(edge: str) -> Economics:
    """A plain pool but for this."""
    return Economics(**{**PLAIN, **EDGES[edge][0]})


@pytest.mark.parametrize("rates", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("edge", EDGES)
def test_every_policy_has_an_answer(edge: str, rates: list[float]) -> None:
    """In every form: finite figures, bounds held, requests neither made nor lost, nothing spilled that must not be."""
    economics = pool(edge)
    curve = Curve(name="edge", slot_s=SLOT_S, rates_per_s=rates, kind="synthetic")
    known = fluid_facts(economics, ReplicaShape(), curve)
    offered = sum(offered_requests(curve, 1))
    for entrant in entrants().values():
        for gateway in entrant.gateways:
            how = FluidRun(gateway=gateway, scrape_s=entrant.scrape_s, keep_series=True)
            outcome = simulate(curve, economics, entrant.make(known, entrant.default), seed=1, run=how)
            where = f"{entrant.name} {gateway}"
            figures = (outcome.usd, outcome.late, outcome.lost, outcome.actions_per_hour, outcome.flips_per_hour)
            assert all(0 <= figure < math.inf for figure in figures), where
            assert outcome.offered == pytest.approx(offered), where
            assert outcome.attained + outcome.late + outcome.lost == pytest.approx(offered), where
            assert outcome.series is not None
            there = [sum(pair) for pair in zip(outcome.series.ready, outcome.series.starting, strict=True)]
            assert economics.min_replicas <= min(there), where
            assert max(there) <= economics.max_replicas, where
            if math.isinf(economics.spill_usd_per_request) or economics.spill_limit_per_s == 0:
                assert outcome.spilled == 0, where


@pytest.mark.parametrize("rates", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("edge", EDGES)
def test_every_optimum_has_an_answer(edge: str, rates: list[float]) -> None:
    """What is known beforehand never costs more than what is known in part, nor that more than a constant."""
    economics = pool(edge)
    best = optimum(rates, SLOT_S, economics)
    near = nearsighted(rates, SLOT_S, economics, ahead_s=economics.cold_start_s)
    still = constant_best(rates, SLOT_S, economics)
    for found in (best, near, still):
        assert 0 <= found.usd < math.inf
        assert found.offered == pytest.approx(sum(rates) * SLOT_S)
        assert economics.min_replicas <= int(found.replicas.min())
        assert int(found.replicas.max()) <= economics.max_replicas
    assert best.usd <= near.usd + 1e-9
    started_usd = still.usd + int(still.replicas.max()) * economics.cold_start_s * economics.replica_usd_per_s
    assert best.usd <= started_usd + 1e-9
    if math.isinf(economics.spill_usd_per_request):
        most = economics.max_replicas * economics.replica_requests_per_s
        assert best.spilled == 0
        assert best.unserved == pytest.approx(sum(max(0.0, rate - most) for rate in rates) * SLOT_S)


@pytest.mark.parametrize("edge", EDGES)
def test_ours_is_right_at_every_edge(edge: str) -> None:
    """Steady demand of 4.4 replicas, which starts with five: what stays is what the prices and bounds say."""
    economics = pool(edge)
    curve = Curve(name="steady", slot_s=SLOT_S, rates_per_s=[22.0] * 120, kind="synthetic")
    how = FluidRun(keep_series=True, noise=False)
    outcome = simulate(curve, economics, ProductionPolicy(economics), seed=1, run=how)
    assert outcome.series is not None
    assert outcome.series.ready[-1] == EDGES[edge][1]
