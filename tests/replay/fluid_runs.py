"""Runs of the fluid simulation for its tests: policies that are told what to want, prices that are easy to add up."""

from typing import Any

from controller.replay.fluid import FluidRun, simulate
from controller.replay.oracle_schedule import ScheduleAutoscaler
from controller.replay.simulation_types import Curve, Economics, Outcome, Seen, Wish

CAPACITY = 5.0  # requests per second of a replica


class Constant:
    """Wants the same all the time, and keeps what it was shown."""

    name = "constant"

    def __init__(self, replicas: int, spill_ratio: float | None = None, period_s: float = 10.0) -> None:
        self.period_s = period_s
        self.wish = Wish(replicas=replicas, spill_ratio=spill_ratio)
        self.seen: list[tuple[float, Seen]] = []

    def step(self, seen: Seen, now_s: float) -> Wish:
        """Always the same."""
        self.seen.append((now_s, seen))
        return self.wish


class Planned(Constant):
    """Wants what the list says, tick by tick, then its last."""

    def __init__(self, *replicas: int) -> None:
        super().__init__(replicas[-1])
        self.plan = list(replicas)

    def step(self, seen: Seen, now_s: float) -> Wish:
        """The next of the list."""
        super().step(seen, now_s)
        return Wish(replicas=self.plan.pop(0)) if self.plan else self.wish


def curve(*rates: float) -> Curve:
    """Slots of ten seconds."""
    return Curve(name="curve", slot_s=10.0, rates_per_s=rates, kind="synthetic")


def economics(**change: Any) -> Economics:
    """One dollar per replica and slot, one cent per spilled request, two slots to start."""
    values = {
        "replica_usd_per_s": 0.1,
        "spill_usd_per_request": 0.01,
        "replica_requests_per_s": CAPACITY,
        "cold_start_s": 20.0,
    }
    return Economics(**{**values, **change})


def run(policy: Constant | ScheduleAutoscaler, *rates: float, pool: Economics | None = None, **how: Any) -> Outcome:
    """A run without noise, with its series."""
    how = {"noise": False, "keep_series": True, **how}
    return simulate(curve(*rates), pool or economics(), policy, seed=1, run=FluidRun(**how))
