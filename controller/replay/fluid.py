"""A fluid simulation of one pool under a policy: a week of 10 s slots in a second, to compare policies and tune them.

Demand comes in slot by slot, with Poisson noise. Ready replicas do their rate at the SLO; what they cannot do and the
gateway does not spill waits, and is late when that wait exceeds the TTFT that is allowed. Policies see what the last
scrape knew. What it leaves out: batches, prompts and queueing within a slot; `fleet_simulation` has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from controller.core.errors import SimulationError
from controller.replay.fluid_gateways import SpillGateway, Valve, spill_gateway
from controller.replay.fluid_monitor import FluidMonitor
from controller.replay.fluid_pool import ReplicaFleet, ReplicaShape, Shortage, late_arrivals
from controller.replay.fluid_spill_mode import ModeAndValve
from controller.replay.simulation_types import Autoscaler, Curve, Economics, Outcome, Series, Wish

SPILL_CALM_S = 60.0  # spilling has ended when nothing was spilled for so long


@dataclass(frozen=True, slots=True, kw_only=True)
class FluidRun:
    """How a run is made, beside its demand, prices and policy."""

    gateway: str = "valve"  # valve | mode | naive | none: what spills when the policy leaves it to the gateway
    scrape_s: float = 15.0  # monitoring's period: policies never see anything fresher
    patience_s: float = 60.0  # the queue holds so many seconds of work; more is lost
    drain_s: float = 0.0
    cold_start_cv: float = 0.0
    failure_ratio: float = 0.0  # of cold starts, each of which then begins again
    shortages: tuple[Shortage, ...] = ()  # of nodes
    noise: bool = True  # off for demand that was recorded request by request
    ready_at_start: int | None = None  # None: what the first slot needs
    keep_series: bool = False
    shape: ReplicaShape = field(default_factory=ReplicaShape)

    def __post_init__(self) -> None:
        """Refuse what no run can be."""
        if not self.scrape_s > 0:
            raise SimulationError(f"scrape_s is {self.scrape_s:g}; it must be a number > 0")
        if not 0 <= self.failure_ratio < 1:
            raise SimulationError(f"failure_ratio is {self.failure_ratio:g}; it must be in [0, 1)")
        for name in ("patience_s", "drain_s", "cold_start_cv"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise SimulationError(f"{name} is {value:g}; it must be a finite number >= 0")


def offered_requests(curve: Curve, seed: int, *, noise: bool = True) -> list[float]:
    """Requests per slot: the curve with Poisson noise, the same for every policy of the same seed."""
    mean = np.asarray(curve.rates_per_s, dtype=np.float64) * curve.slot_s
    counts: list[float] = (np.random.default_rng(seed).poisson(mean) if noise else mean).astype(float).tolist()
    return counts


def replicas_for(rate_per_s: float, economics: Economics) -> int:
    """As many as that rate needs at the SLO, within the bounds."""
    needed = math.ceil(rate_per_s / economics.replica_requests_per_s)
    return min(max(needed, economics.min_replicas), economics.max_replicas)


def simulate(
    curve: Curve, economics: Economics, policy: Autoscaler, *, seed: int, run: FluidRun | None = None
) -> Outcome:
    """One run of one policy from the start of the curve to its end."""
    run = run or FluidRun()
    if not policy.period_s > 0:
        raise SimulationError(f"period_s of {policy.name} is {policy.period_s:g}; it must be a number > 0")
    pool = FluidPool(curve, economics, run, seed)
    monitor, slot_s, period_s = pool.monitor, curve.slot_s, policy.period_s
    tick_s = 0.0
    for slot, arrivals in enumerate(offered_requests(curve, seed, noise=run.noise)):
        now_s = slot * slot_s
        pool.advance(now_s)
        while tick_s <= now_s:
            pool.follow(policy.step(monitor.seen, tick_s), now_s)
            tick_s += period_s
        pool.flow(arrivals)
    return pool.outcome(curve, policy.name, seed)


class FluidPool:
    """The state of one run. Each slot is `advance`, `follow` for every tick of the policy, `flow`."""

    def __init__(self, curve: Curve, economics: Economics, run: FluidRun, seed: int) -> None:
        self.monitor = FluidMonitor(run.shape, economics.replica_requests_per_s, curve.slot_s, run.scrape_s)
        ready = replicas_for(curve.rates_per_s[0], economics) if run.ready_at_start is None else run.ready_at_start
        self._fleet = ReplicaFleet(
            ready,
            economics.cold_start_s,
            chance=np.random.default_rng([seed, 1]),
            cold_start_cv=run.cold_start_cv,
            failure_ratio=run.failure_ratio,
            drain_s=run.drain_s,
            shortages=run.shortages,
        )
        self._shape = run.shape
        self._batch = run.shape.running(economics.replica_requests_per_s, 1.0)
        self._gateway = _gateway(run, curve.slot_s, economics)
        self._economics = economics
        self._least, self._most = economics.min_replicas, economics.max_replicas
        forbidden = math.isinf(economics.spill_usd_per_request)
        self._spill_most = 0.0 if forbidden else economics.spill_limit_per_s * curve.slot_s
        self._slot_s = curve.slot_s
        self._replica_does = economics.replica_requests_per_s * curve.slot_s
        self._wait_allowed = (run.shape.ttft_slo_s - run.shape.ttft_idle_s) * economics.replica_requests_per_s
        self._patience = run.patience_s * economics.replica_requests_per_s
        self._wished, self._spill_ratio, self._backlog = ready, 0.0, 0.0
        self._calm_s = math.inf  # since something was spilled
        self._actions = self._flips = self._paid_slots = self._peak = 0
        self._offered = self._spilled = self._late = self._lost = self._regretted = 0.0
        first = curve.rates_per_s[0] * curve.slot_s
        self._served_now = min(first, ready * self._replica_does)
        self.monitor.add(
            first, self._served_now, 0.0, 0.0
        )  # the pool ran before: its first figures are those of the first slot
        self._rows: list[tuple[float, int, int, float, float]] | None = [] if run.keep_series else None

    def advance(self, now_s: float) -> None:
        """Replicas become ready or go, and monitoring looks if it is time."""
        fleet, monitor = self._fleet, self.monitor
        fleet.advance(now_s)
        monitor.scrape(now_s, fleet.ready, self._served_now, self._backlog)
        monitor.count(fleet.ready, fleet.starting)

    def follow(self, wish: Wish, now_s: float) -> None:
        """The wish holds from now on, within the bounds of the pool."""
        replicas, fleet = wish.replicas, self._fleet
        if not self._least <= replicas <= self._most:
            replicas = min(max(replicas, self._least), self._most)
        self._spill_ratio = wish.spill_ratio or 0.0
        if replicas != self._wished:
            self._wished = replicas
            self._actions += 1
        if replicas != fleet.ready + fleet.starting:
            fleet.want(replicas, now_s)
            self.monitor.count(fleet.ready, fleet.starting)

    @property
    def replicas(self) -> int:
        """Ready and starting ones."""
        return self._fleet.ready + self._fleet.starting

    def flow(self, arrivals: float) -> None:
        """One slot: what comes in is spilled, served, or waits."""
        ready, before = self._fleet.ready, self._backlog
        capacity = ready * self._replica_does
        out = self._spill_ratio * arrivals
        wanted = out + self._gateway.wanted(arrivals - out, before, capacity)
        out = min(self._spill_most, wanted)
        home = arrivals - out
        refused = self._gateway.refused(home, before, capacity) if wanted > out else 0.0
        home -= refused
        work = before + home
        served = min(capacity, work)
        after, missed = work - served, refused
        if after > 0 or before > 0:
            lost = min(max(0.0, after - self._patience * max(ready, 1)), home)
            after -= lost
            self._lost += lost
            heading = work - lost - capacity  # below 0 where the queue is gone before the slot ends
            late = late_arrivals(home - lost, before, heading, self._wait_allowed * ready)
            self._late += late
            missed += lost + late
        self._lost += refused
        self._backlog, self._served_now = after, served
        self._gateway.settle(after - self._shape.batched(after, self._batch * ready))
        wait_s = after * self._slot_s / capacity if capacity else 0.0
        self.monitor.add(arrivals, served, out, wait_s)
        self._offered += arrivals
        self._paid_slots += self._fleet.paid
        self._peak = max(self._peak, ready)
        self._count_spilled(out, capacity - served)
        if self._rows is not None:
            self._rows.append((arrivals, ready, self._fleet.starting, out, missed))

    def _count_spilled(self, out: float, free: float) -> None:
        if out > 0:
            self._flips += self._calm_s >= SPILL_CALM_S
            self._calm_s = 0.0
            self._spilled += out
            self._regretted += min(out, free)
        elif self._calm_s < SPILL_CALM_S:
            self._calm_s += self._slot_s
            self._flips += self._calm_s >= SPILL_CALM_S

    @property
    def _changes(self) -> int:
        """Of the pool's mode where the gateway has one; else beginnings and ends of spilling."""
        return self._gateway.mode_changes if isinstance(self._gateway, ModeAndValve) else self._flips

    def outcome(self, curve: Curve, policy: str, seed: int) -> Outcome:
        """What it came to."""
        gpu_usd = self._paid_slots * self._slot_s * self._economics.replica_usd_per_s
        spill_usd = self._spilled * self._economics.spill_usd_per_request if self._spilled else 0.0
        hours = curve.duration_s / 3600
        return Outcome(
            policy=policy,
            workload=curve.name,
            seed=seed,
            usd=gpu_usd + spill_usd,
            gpu_usd=gpu_usd,
            spill_usd=spill_usd,
            offered=self._offered,
            attained=self._offered - self._late - self._lost,
            spilled=self._spilled,
            late=self._late,
            lost=self._lost,
            actions_per_hour=self._actions / hours,
            flips_per_hour=self._changes / hours,
            regret_ratio=self._regretted / self._spilled if self._spilled else 0.0,
            peak_replicas=self._peak,
            series=None if self._rows is None else _series(self._rows, self._slot_s),
        )


def _gateway(run: FluidRun, slot_s: float, economics: Economics) -> SpillGateway:
    shape = run.shape
    if run.gateway == "mode":
        valve = Valve(slot_s, shape.ttft_slo_s, shape.ttft_idle_s)
        return ModeAndValve(valve, shape, economics.replica_requests_per_s, slot_s)
    return spill_gateway(run.gateway, slot_s, shape.ttft_slo_s, shape.ttft_idle_s)


def _series(rows: list[tuple[float, int, int, float, float]], slot_s: float) -> Series:
    demand, ready, starting, spilled, missed = zip(*rows, strict=True)
    return Series(
        times_s=[slot * slot_s for slot in range(len(rows))],
        demand_per_s=[count / slot_s for count in demand],
        ready=ready,
        starting=starting,
        spilled_per_s=[count / slot_s for count in spilled],
        missed_per_s=[count / slot_s for count in missed],
    )
