"""The pool's mode in the fluid simulation: when it changes, and what its share costs beside the valve alone."""

from __future__ import annotations

import random

import pytest
from fluid_runs import Constant

from controller.core.samples import PoolSample
from controller.replay.fluid import FluidRun, simulate
from controller.replay.fluid_gateways import Valve
from controller.replay.fluid_pool import ReplicaShape
from controller.replay.fluid_spill_mode import ModeAndValve
from controller.replay.simulation_types import Curve, Economics, Outcome

SLOT_S = 10.0
HOUR = 360  # slots
POOL = Economics(
    replica_usd_per_s=13.72 / 3600, spill_usd_per_request=5e-3, replica_requests_per_s=3.75, cold_start_s=480.0
)


def run(gateway: str, rates: list[float], *, replicas: int = 4, noise: bool = True) -> Outcome:
    """A fixed pool under these rates, in replicas' worth."""
    per_s = tuple(rate * POOL.replica_requests_per_s for rate in rates)
    curve = Curve(name="rates", slot_s=SLOT_S, rates_per_s=per_s, kind="synthetic")
    how = FluidRun(gateway=gateway, ready_at_start=replicas, noise=noise)
    return simulate(curve, POOL, Constant(replicas), seed=1, run=how)


@pytest.mark.parametrize("use", [0.8, 0.95, 1.0, 1.1])
def test_in_steady_load_it_hardly_changes_and_moves_little_that_fits(use: float) -> None:
    """At most four changes an hour; four replicas, with the noise of requests."""
    rates = [4 * use] * (4 * HOUR)
    with_mode, valve = run("mode", rates), run("valve", rates)
    assert with_mode.flips_per_hour <= 4.0
    assert with_mode.regret_ratio <= 0.1
    assert with_mode.attained_ratio >= 0.99
    assert with_mode.spilled <= 1.1 * valve.spilled + 0.005 * valve.offered


def test_a_short_burst_is_the_valves_alone() -> None:
    """The mode stays Local, and every figure is that of the valve."""
    rates = [2.0] * 60 + [8.0] * 2 + [2.0] * 60
    with_mode, valve = run("mode", rates, noise=False), run("valve", rates, noise=False)
    assert with_mode.flips_per_hour == 0.0
    assert with_mode.spilled == valve.spilled > 0


def test_a_lasting_overload_is_shared_until_it_is_over() -> None:
    """Once in and once out; what the share still sends away on its way back is regretted."""
    rates = [2.0] * 60 + [8.0] * 60 + [2.0] * 60
    with_mode, valve = run("mode", rates, noise=False), run("valve", rates, noise=False)
    assert with_mode.flips_per_hour == pytest.approx(2 * HOUR / len(rates))
    assert valve.spilled < with_mode.spilled < 1.1 * valve.spilled
    assert 0 < with_mode.regret_ratio < 0.1
    assert with_mode.late == 0


def test_without_a_replica_everything_leaves() -> None:
    """At once by the valve, by the mode from then on."""
    outcome = run("mode", [2.0] * 30, replicas=0)
    assert outcome.spilled == outcome.offered
    assert outcome.flips_per_hour == pytest.approx(HOUR / 30)


class SecondBySecond(ModeAndValve):
    """Lives every second of a slot."""

    def _stands_until(self, sample: PoolSample, last_s: float) -> bool:
        return False


@pytest.mark.parametrize("slot_s", [1.0, 10.0, 60.0])
def test_seconds_that_change_nothing_are_passed_over(slot_s: float) -> None:
    """Every figure is as if each of them had been lived: random waves, from idle to twice what the pool does."""
    chance = random.Random(7)
    shape = ReplicaShape()
    quick, slow = (
        kind(Valve(slot_s, shape.ttft_slo_s, shape.ttft_idle_s), shape, 5.0, slot_s)
        for kind in (ModeAndValve, SecondBySecond)
    )
    level, modes = 1.0, set[bool]()
    for _ in range(400):
        level = chance.uniform(0.0, 2.0) if chance.random() < 0.08 else level
        ready = chance.choice((4, 4, 4, 4, 4, 0, 5)) if chance.random() < 0.1 else 4
        capacity = ready * 5.0 * slot_s
        arrivals = level * 4 * 5.0 * slot_s * chance.uniform(0.9, 1.1)
        backlog = chance.choice((0.0, 0.0, 0.02, 0.1)) * capacity
        assert quick.wanted(arrivals, backlog, capacity) == slow.wanted(arrivals, backlog, capacity)
        waiting = chance.choice((0.0, 0.0, 0.0, backlog))
        quick.settle(waiting)
        slow.settle(waiting)
        assert quick.mode_changes == slow.mode_changes
        modes.add(quick.wanted(1.0, 0.0, 1e9) > 0)
    assert quick.mode_changes > 4
    assert modes == {True, False}
