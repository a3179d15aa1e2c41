"""The pool's mode in the fluid simulation: when it changes, and what its share costs beside the valve alone."""

from __future__ import annotations

import pytest

from controller.replay.fluid import FluidRun, simulate
from controller.replay.simulation_types import Curve, Economics, Outcome, Seen, Wish

SLOT_S = 10.0
HOUR = 360  # slots
POOL = Economics(
    replica_usd_per_s=13.72 / 3600, spill_usd_per_request=5e-3, replica_requests_per_s=3.75, cold_start_s=480.0
)


class Constant:
    """Always as many replicas."""

    name = "constant"
    period_s = 10.0

    def __init__(self, replicas: int) -> None:
        self._wish = Wish(replicas=replicas)

    def step(self, seen: Seen, now_s: float) -> Wish:
        """The same wish."""
        return self._wish


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
