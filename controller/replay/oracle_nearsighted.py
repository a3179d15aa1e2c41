"""What perfect knowledge of the near future is worth: the optimum's rule with a forecast that ends.

A replica that is to serve is ordered a cold start before, so of a forecast that reaches `ahead_s` from the order there
is left `ahead_s` less the cold start to judge its use by. In each slot the shortest path to the end of the forecast is
looked at: where every continuation agrees that a replica is on, or off, it is; where that is open, it stays as it was
(lazy capacity provisioning, Lin 2011). With a forecast to the end it is the optimum; with one of a cold start
alone, the ski rental: no lead time is lost, and nothing is known of what comes after. Called by the policy benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from controller.core.errors import SimulationError
from controller.replay.oracle import Flags, Floats, Optimum, demand_of, priced, slices
from controller.replay.simulation_types import Economics


def nearsighted(
    rates_per_s: Sequence[float] | Floats,
    slot_s: float,
    economics: Economics,
    *,
    ahead_s: float,
    ready_at_start: int = 0,
) -> Optimum:
    """Cost and schedule of one who knows the demand of the next `ahead_s`, infinitely for all of it, and no more."""
    demand = demand_of(rates_per_s, slot_s)
    if not ahead_s >= economics.cold_start_s:
        allowed = f"at least the cold start ({economics.cold_start_s:g})"
        raise SimulationError(f"ahead_s is {ahead_s:g}; it must be {allowed}")
    known = (ahead_s - economics.cold_start_s) / slot_s
    slots_known = len(demand) if known >= len(demand) else int(known + 1e-9)
    on = [np.zeros((len(demand), 0), dtype=np.bool_)]
    for first, off_usd in slices(demand, slot_s, economics):
        ready = np.arange(first, first + off_usd.shape[1]) < ready_at_start
        on.append(_levels_on(off_usd, ready, slot_s, economics, slots_known))
    return priced(np.concatenate(on, axis=1), demand, slot_s, economics, ready_at_start=ready_at_start)


def _levels_on(off_usd: Floats, ready: Flags, slot_s: float, economics: Economics, slots_known: int) -> Flags:
    """Which level is on in which slot. Everything follows from how much dearer on has been than off after each slot."""
    slots = len(off_usd)
    start_usd = economics.cold_start_s * economics.replica_usd_per_s
    change_usd = slot_s * economics.replica_usd_per_s - off_usd
    dearer = np.empty_like(off_usd)
    now = np.where(ready, 0.0, start_usd)
    for slot in range(slots):
        np.add(now, change_usd[slot], out=dearer[slot])
        np.clip(dearer[slot], 0.0, start_usd, out=now)
    surely_on, surely_off = dearer < 0, dearer > start_usd
    surely_off[-1] = ~surely_on[-1]  # after the end nothing is of use
    decided = _next(surely_on | surely_off)
    states = np.take_along_axis(surely_on, np.minimum(decided, slots - 1), axis=0)
    open_still = decided > np.arange(slots)[:, None] + slots_known
    return _kept(states, open_still, ready)


def _next(flags: Flags) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Of every slot the first from it on that is flagged; the number of slots where there is none."""
    slots = len(flags)
    place = np.where(flags, np.arange(slots)[:, None], slots)
    return np.minimum.accumulate(place[::-1], axis=0)[::-1]


def _kept(states: Flags, open_still: Flags, ready: Flags) -> Flags:
    """The states, where those still open are as the last that was not, and as at the start before there is one."""
    slots = len(states)
    last = np.maximum.accumulate(np.where(open_still, -1, np.arange(slots)[:, None]), axis=0)
    return np.where(last >= 0, np.take_along_axis(states, np.maximum(last, 0), axis=0), ready)
