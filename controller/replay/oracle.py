"""The clairvoyant optimum of one pool, exact: what any policy's cost is measured against.

Spilling costs the same for every request and replicas are alike, so the fluid problem falls apart into one small
problem per replica: the k-th serves the k-th slice of demand or leaves it to be spilled, and is on or off in each slot.
Each is a shortest path through two states, all walked at once as vectors, in time O(slots * replicas). Slices are
nested, so the sum of the answers is a schedule. Where the providers' limit binds the cost is a lower bound;
`oracle_lp` knows limits. Called by the policy benchmark, `oracle_lp`'s tests and `oracle_schedule`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.core.errors import SimulationError
from controller.replay.simulation_types import Economics

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

LEVELS_AT_ONCE = 64  # bounds memory: 64 replicas over a week of 10 s slots are 62 MB
DUST_RATIO = 1e-9  # of a slot's capacity: below it a slice is a rounding error and not demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """The cheapest schedule and its cost."""

    running_usd: float
    start_usd: float
    spill_usd: float
    offered: float  # requests
    spilled: float
    unserved: float  # spilling forbidden and more than the most replicas can do
    starts: int
    spilled_peak_per_s: float
    replicas: Counts  # serving, slot by slot

    @property
    def usd(self) -> float:
        """All of it."""
        return self.running_usd + self.start_usd + self.spill_usd

    @property
    def usd_per_1k(self) -> float:
        """Cost of a thousand offered requests; 0 when none was offered."""
        return 1000 * self.usd / self.offered if self.offered else 0.0


def optimum(
    rates_per_s: Sequence[float] | Floats,
    slot_s: float,
    economics: Economics,
    *,
    ready_at_start: int = 0,
    minimum_billing_s: float = 0.0,
) -> Optimum:
    """The least cost of serving or spilling this demand by one who knows it all, and a schedule that has it.

    Every start costs the cold start, in the first slot too unless the replica is `ready_at_start`. With spilling
    forbidden a replica is on whenever its slice holds work; what exceeds `max_replicas` is then unserved.
    With `minimum_billing_s`, counted from the order, a replica runs until it is over, and the newest is released first:
    the oldest first can be cheaper by less than one such time per peak, and only `oracle_lp` finds that.
    """
    demand = demand_of(rates_per_s, slot_s)
    paid_s = minimum_billing_s - economics.cold_start_s
    slots_least = max(1, math.ceil(paid_s / slot_s)) if paid_s > 0 else 1
    on = [np.zeros((len(demand), 0), dtype=np.bool_)]
    on += [
        _levels_on(off_usd, first, slot_s, economics, ready_at_start=ready_at_start, slots_least=slots_least)
        for first, off_usd in slices(demand, slot_s, economics)
    ]
    flags = np.concatenate(on, axis=1)
    billed = _billed_slots(flags, slots_least, ready_at_start)
    return priced(flags, demand, slot_s, economics, ready_at_start=ready_at_start, billed_slots=billed)


def demand_of(rates_per_s: Sequence[float] | Floats, slot_s: float) -> Floats:
    """The demand as an array; SimulationError when it is none."""
    demand = np.asarray(rates_per_s, dtype=np.float64)
    if not (slot_s > 0 and math.isfinite(slot_s)):
        raise SimulationError(f"slot_s is {slot_s:g}; it must be a finite number > 0")
    if demand.ndim != 1 or not len(demand):
        raise SimulationError(f"the demand has the shape {demand.shape}; it must be one row of at least one slot")
    if not np.all(np.isfinite(demand) & (demand >= 0)):
        slot = int(np.argmin(np.isfinite(demand) & (demand >= 0)))
        raise SimulationError(f"the demand of slot {slot} is {demand[slot]:g}; it must be a finite number >= 0")
    return demand


def averaged(rates_per_s: Sequence[float] | Floats, slot_s: float, over_s: float = 60.0) -> Floats:
    """The demand with every `over_s` of it evened out, in the slots it came in: what is over at the end stays as it is.

    For the optimum beside a simulation with a queue: one that may hold requests for a second or two smooths the noise
    of 10 s slots, and can then cost 1 to 3 % less than the optimum of these slots, which holds nothing.
    """
    demand = demand_of(rates_per_s, slot_s)
    slots = max(1, round(over_s / slot_s))
    whole = len(demand) // slots * slots
    means = demand[:whole].reshape(-1, slots).mean(axis=1)
    return np.concatenate([np.repeat(means, slots), demand[whole:]])


def levels_needed(demand: Floats, economics: Economics) -> int:
    """Replicas that could ever be of use: for the peak, within the bounds."""
    peak = math.ceil(float(demand.max()) / economics.replica_requests_per_s - DUST_RATIO)
    return min(max(peak, economics.min_replicas), economics.max_replicas)


def slice_usd(demand: Floats, levels: range, slot_s: float, economics: Economics) -> Floats:
    """What each level (from 0) costs in each slot when it is off: its slice of demand, spilled."""
    capacity = economics.replica_requests_per_s
    below = capacity * np.arange(levels.start, levels.stop, dtype=np.float64)
    served = np.clip(demand[:, None] - below, 0.0, capacity)
    served[served < DUST_RATIO * capacity] = 0.0
    if math.isinf(economics.spill_usd_per_request):
        usd = np.where(served > 0, math.inf, 0.0)
    else:
        usd = served * (slot_s * economics.spill_usd_per_request)
    usd[:, : max(0, economics.min_replicas - levels.start)] = math.inf  # these are always on
    return usd


def slices(demand: Floats, slot_s: float, economics: Economics) -> Iterator[tuple[int, Floats]]:
    """First level and costs when off, for so many levels at once as memory should hold."""
    levels = levels_needed(demand, economics)
    for first in range(0, levels, LEVELS_AT_ONCE):
        chunk = range(first, min(first + LEVELS_AT_ONCE, levels))
        yield first, slice_usd(demand, chunk, slot_s, economics)


def priced(
    on: Flags,
    demand: Floats,
    slot_s: float,
    economics: Economics,
    *,
    ready_at_start: int = 0,
    billed_slots: int | None = None,
) -> Optimum:
    """What a schedule by level (slots x levels) costs; `billed_slots` counts what is paid past the end as well."""
    replicas = on.sum(axis=1)
    missing = np.maximum(demand - replicas * economics.replica_requests_per_s, 0.0)
    missing[missing < DUST_RATIO * economics.replica_requests_per_s] = 0.0
    forbidden = math.isinf(economics.spill_usd_per_request)
    before = np.arange(on.shape[1]) < ready_at_start
    starts = int(np.count_nonzero(on & ~np.vstack([before, on[:-1]])))
    spilled = 0.0 if forbidden else float(missing.sum()) * slot_s
    billed = int(replicas.sum()) if billed_slots is None else billed_slots
    return Optimum(
        running_usd=billed * slot_s * economics.replica_usd_per_s,
        start_usd=starts * economics.cold_start_s * economics.replica_usd_per_s,
        spill_usd=0.0 if forbidden else spilled * economics.spill_usd_per_request,
        offered=float(demand.sum()) * slot_s,
        spilled=spilled,
        unserved=float(missing.sum()) * slot_s if forbidden else 0.0,
        starts=starts,
        spilled_peak_per_s=0.0 if forbidden else float(missing.max()),
        replicas=replicas,
    )


def constant(rates_per_s: Sequence[float] | Floats, slot_s: float, economics: Economics, replicas: int) -> Optimum:
    """The cost of always having so many replicas, from before the first slot, and spilling what they cannot serve."""
    demand = demand_of(rates_per_s, slot_s)
    on = np.ones((len(demand), replicas), dtype=np.bool_)
    return priced(on, demand, slot_s, economics, ready_at_start=replicas)


def constant_best(rates_per_s: Sequence[float] | Floats, slot_s: float, economics: Economics) -> Optimum:
    """The cheapest constant: each level that is used more than rho*; all levels where spilling is forbidden."""
    demand = demand_of(rates_per_s, slot_s)
    on_usd = len(demand) * slot_s * economics.replica_usd_per_s
    worth = sum(int(np.count_nonzero(off_usd.sum(axis=0) > on_usd)) for _, off_usd in slices(demand, slot_s, economics))
    return constant(demand, slot_s, economics, worth)


def _levels_on(
    off_usd: Floats, first: int, slot_s: float, economics: Economics, *, ready_at_start: int, slots_least: int
) -> Flags:
    """Which of these levels is on in which slot. `off[i]` and `free[i]` are the least costs after i slots.

    `free` is on with the minimum behind it: so a run enters it once, `slots_least` slots after it began.
    """
    slots, levels = off_usd.shape
    on_usd = slot_s * economics.replica_usd_per_s
    run_usd = economics.cold_start_s * economics.replica_usd_per_s + slots_least * on_usd
    ready = np.arange(first, first + levels) < ready_at_start
    off = np.empty((slots + 1, levels))
    free = np.empty((slots + 1, levels))
    off[0] = np.where(ready, math.inf, 0.0)
    free[0] = np.where(ready, 0.0, math.inf)
    for slot in range(slots):
        end = slot + 1
        np.minimum(off[slot], free[slot], out=off[end])
        off[end] += off_usd[slot]
        np.add(free[slot], on_usd, out=free[end])
        if end >= slots_least:
            np.minimum(free[end], off[end - slots_least] + run_usd, out=free[end])
    return _walked_back(off, free, on_usd, run_usd, slots_least)


def _walked_back(off: Floats, free: Floats, on_usd: float, run_usd: float, slots_least: int) -> Flags:
    """The schedule that has the least cost, read from the end."""
    slots, levels = len(off) - 1, off.shape[1]
    on = np.zeros((slots, levels), dtype=np.bool_)
    begins = free[1:] < free[:-1] + on_usd  # cheaper than staying on: at the end of this slot a minimum run is over
    ends = free < off  # before this slot it is better to go off than to have been off
    late = range(max(0, slots - slots_least + 1), slots)  # a run that begins here is cut by the end, and paid in full
    for level in range(levels):
        last, is_on = slots, bool(ends[slots, level])
        cuts = [(float(off[begin, level]) + run_usd, begin) for begin in reversed(late)]
        cut_usd, begin = min(cuts, key=lambda cut: cut[0], default=(math.inf, slots))
        if cut_usd < min(off[slots, level], free[slots, level]):
            on[begin:, level] = True
            last, is_on = begin, False
        _mark_runs(on[:, level], begins[:, level], ends[:, level], last, is_on=is_on, slots_least=slots_least)
    return on


def _mark_runs(on: Flags, begins: Flags, ends: Flags, last: int, *, is_on: bool, slots_least: int) -> None:
    """Marks the runs of one level before slot `last`, from the last to the first."""
    begun, ended = np.flatnonzero(begins).tolist(), np.flatnonzero(ends).tolist()
    while True:
        if not is_on:
            place = bisect_left(ended, last)
            if place == 0:
                return
            last = ended[place - 1]
        place = bisect_left(begun, last)
        begin = begun[place - 1] + 1 - slots_least if place else 0
        on[begin:last] = True
        last, is_on = begin, False


def _billed_slots(on: Flags, slots_least: int, ready_at_start: int) -> int:
    """Slots paid: those that run, and for runs that the end cuts short what is left of their minimum."""
    paid = int(on.sum())
    for level in range(on.shape[1]) if slots_least > 1 else ():
        off_at = np.flatnonzero(~on[:, level])
        ran = len(on) - 1 - int(off_at[-1]) if len(off_at) else len(on)
        if ran and (len(off_at) or level >= ready_at_start):
            paid += max(0, slots_least - ran)
    return paid
