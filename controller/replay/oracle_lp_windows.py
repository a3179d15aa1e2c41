"""The mixed optimum window by window: builds each program, keeps its first part, carries over what runs and is planned.

Called by `oracle_lp`. Windows overlap so that a schedule does not end at midnight; orders that lie less than a cold
start behind the seam are those that the window before had planned, whose GPUs it had set aside.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from controller.core.errors import SimulationError
from controller.replay.oracle_lp_program import Floats, Places, Program
from controller.replay.oracle_lp_types import DAY_S, Mix, ReplicaKind, Workload

UNSERVED_RATIO = 1000.0  # of the dearest request: only where nothing else keeps the limits is work left, and dearly
Term = tuple[Places, Places, float]


@dataclass(slots=True)
class KindPlan:
    """What is settled of one kind of one workload, and what the last window planned beyond."""

    workload: str
    kind: ReplicaKind
    slot_s: float
    replicas: list[int] = field(default_factory=list)
    planned: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def before(self) -> int:
        """Serving at the end of what is settled."""
        return self.replicas[-1] if self.replicas else self.kind.ready_at_start

    @property
    def lead_slots(self) -> int:
        """Slots of a cold start."""
        return math.ceil(self.kind.economics.cold_start_s / self.slot_s - 1e-9)

    @property
    def least_slots(self) -> int:
        """Slots that a replica serves at the least, so that its minimum of billing is used."""
        return max(1, math.ceil((self.kind.minimum_billing_s - self.kind.economics.cold_start_s) / self.slot_s))

    def starts(self) -> NDArray[np.int64]:
        """Settled starts, slot by slot."""
        return np.maximum(np.diff(self.replicas, prepend=self.kind.ready_at_start), 0)

    def unpaid_slots(self, end: int) -> NDArray[np.int64]:
        """Of every slot so far: what a start in it would still owe at slot `end`."""
        return np.maximum(self.least_slots - (end - np.arange(end)), 0)


class Window:
    """The program of one stretch of slots."""

    def __init__(self, mix: Mix, plans: list[KindPlan], first: int, slots: int, *, may_leave: bool) -> None:
        self._mix = mix
        self._first = first
        self._every = np.arange(slots)
        self._may_leave = may_leave
        self._last = first + slots == mix.slots
        self._shared: dict[tuple[str, str], list[Term]] = defaultdict(list)
        self.program = Program(slots)
        self.serving: list[Places] = []
        self.spilled: dict[tuple[str, str], Places] = {}
        self.left: list[Places] = []
        for workload in mix.workloads:
            self._add_workload(workload, [plan for plan in plans if plan.workload == workload.name])
        self._add_shared()

    def _add_workload(self, workload: Workload, plans: list[KindPlan]) -> None:
        program, every = self.program, self._every
        demand = workload.demand[self._first : self._first + len(every)]
        terms = [(every, self._add_kind(plan), -plan.kind.economics.replica_requests_per_s) for plan in plans]
        for provider, usd in workload.provider_usd_per_request.items():
            block = program.add_block(usd * self._mix.slot_s)
            self.spilled[workload.name, provider] = block
            terms.append((every, block, -1.0))
            self._shared["provider", provider].append((every, block, 1.0))
            self._shared["budget", ""].append((0 * every, block, usd * self._mix.slot_s))
        if self._may_leave:
            block = program.add_block(UNSERVED_RATIO * workload.dearest_usd_per_request * self._mix.slot_s)
            self.left.append(block)
            terms.append((every, block, -1.0))
        program.at_most(-demand, *terms)

    def _add_kind(self, plan: KindPlan) -> Places:
        program, every, economics = self.program, self._every, plan.kind.economics
        slot_usd = economics.replica_usd_per_s * self._mix.slot_s
        serving = program.add_block(slot_usd, lower=economics.min_replicas, upper=economics.max_replicas, whole=True)
        starts = program.add_block(self._start_usd(plan), upper=self._starts_most(plan))
        rises = np.zeros(len(every))
        rises[0] = plan.before
        program.at_most(rises, (every, serving, 1.0), (every[1:], serving[:-1], -1.0), (every, starts, -1.0))
        if plan.least_slots > 1:
            recent = program.window_terms(starts, plan.least_slots - 1, 0, 1.0)
            program.at_most(-self._settled_starts(plan), recent, (every, serving, -1.0))
        if plan.kind.node_pool:
            held = self._shared["gpus", plan.kind.node_pool]
            held.append((every, serving, float(plan.kind.gpus)))
            if plan.lead_slots:
                held.append(program.window_terms(starts, -1, plan.lead_slots, float(plan.kind.gpus)))
        self.serving.append(serving)
        return serving

    def _start_usd(self, plan: KindPlan) -> Floats:
        """The cold start, and at the very end what is left of the minimum."""
        economics = plan.kind.economics
        owed_slots = plan.unpaid_slots(len(self._every)) * int(self._last)
        paid_s = economics.cold_start_s + owed_slots * self._mix.slot_s
        return np.asarray(paid_s * economics.replica_usd_per_s, dtype=np.float64)

    def _starts_most(self, plan: KindPlan) -> Floats:
        """Behind the seam only what was planned before it."""
        most = np.full(len(self._every), np.inf)
        if self._first:
            most[: plan.lead_slots] = plan.planned[: plan.lead_slots]
        return most

    def _settled_starts(self, plan: KindPlan) -> Floats:
        """For every slot the settled starts whose minimum reaches into it."""
        reach = np.zeros(len(self._every))
        starts = plan.starts()
        for slot in np.flatnonzero(starts).tolist():
            reach[: max(0, slot + plan.least_slots - self._first)] += starts[slot]
        return reach

    def _add_shared(self) -> None:
        mix, ones = self._mix, np.ones(len(self._every))
        for (kind, name), terms in self._shared.items():
            if kind == "gpus":
                self.program.at_most(mix.node_pool_gpus[name] * ones, *terms)
            elif kind == "provider" and name in mix.provider_limits_per_s:
                self.program.at_most(mix.provider_limits_per_s[name] * ones, *terms)
            elif kind == "budget" and math.isfinite(mix.budget_usd_per_day):
                share = len(self._every) * mix.slot_s / DAY_S
                self.program.at_most(np.array([mix.budget_usd_per_day * share]), *terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The settled part of a window."""

    slots: slice
    spilled: dict[tuple[str, str], Floats]
    left_per_s: Floats  # summed over workloads
    bound_usd: float


def solve_windows(
    mix: Mix, plans: list[KindPlan], window_slots: int, overlap_slots: int, gap_ratio: float
) -> Iterator[Piece]:
    """Solves one window after the other; `plans` hold the replicas afterwards."""
    for first in range(0, mix.slots, window_slots):
        slots = min(window_slots + overlap_slots, mix.slots - first)
        window, values, bound_usd = _solved(mix, plans, first, slots, gap_ratio)
        keep = min(window_slots, slots)
        for plan, block in zip(plans, window.serving, strict=True):
            counts = np.rint(values[block]).astype(np.int64)
            plan.planned = np.maximum(np.diff(counts), 0)[keep - 1 :]
            plan.replicas.extend(counts[:keep].tolist())
        yield Piece(
            slots=slice(first, first + keep),
            spilled={key: values[block[:keep]] for key, block in window.spilled.items()},
            left_per_s=np.sum([values[block[:keep]] for block in window.left], axis=0) * np.ones(keep),
            bound_usd=bound_usd,
        )


def _solved(mix: Mix, plans: list[KindPlan], first: int, slots: int, gap_ratio: float) -> tuple[Window, Floats, float]:
    """The window with all demand met; where that cannot be, with as little left as its price allows."""
    window = Window(mix, plans, first, slots, may_leave=False)
    found = window.program.solve(gap_ratio)
    if found is None:
        window = Window(mix, plans, first, slots, may_leave=True)
        found = window.program.solve(gap_ratio)
    if found is None:
        raise SimulationError("no schedule keeps all limits; min_replicas of all kinds together must fit their GPUs")
    return window, *found
