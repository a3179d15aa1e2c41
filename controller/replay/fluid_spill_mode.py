"""The gateway of a fluid run as it is in production: the valve per request, and before it the share of the pool's mode.

The controller's `spill_step` runs second by second within each slot, fed from what the fluid model knows: the slot's
demand and the one before it, whether the valve turned somebody away or somebody waits, and KV cache use.
"""

from __future__ import annotations

from controller.core.pools import SpillPolicy
from controller.core.samples import PoolSample
from controller.replay.fluid_gateways import Valve
from controller.replay.fluid_pool import ReplicaShape
from controller.routing.spill import SpillState, spill_step

TICK_S = 1.0  # of the control loop
FULL_RATIO = 1.0


class ModeAndValve:
    """`mode_changes`: of the pool between Local, Spilling and External, as operators see it."""

    def __init__(self, valve: Valve, shape: ReplicaShape, replica_requests_per_s: float, slot_s: float) -> None:
        self.mode_changes = 0
        self._valve = valve
        self._shape = shape
        self._mu = replica_requests_per_s
        self._slot_s = slot_s
        self._ticks = max(1, round(slot_s / TICK_S))
        self._policy = SpillPolicy()
        self._state = SpillState()
        self._now_s = 0.0
        self._before: float | None = None  # arrivals of the slot before
        self._arrivals = self._turned_away = self._home = self._capacity = 0.0

    def wanted(self, arrivals: float, backlog: float, capacity: float) -> float:
        """The share that the mode sends away, and what the valve finds no place for among the rest."""
        shared = self._state.ratio * arrivals
        turned_away = self._valve.wanted(arrivals - shared, backlog, capacity)
        self._arrivals, self._turned_away, self._capacity = arrivals, turned_away, capacity
        self._home = min(capacity, backlog + arrivals - shared - turned_away)
        return shared + turned_away

    def refused(self, home: float, backlog: float, capacity: float) -> float:
        """As the valve."""
        return self._valve.refused(home, backlog, capacity)

    def settle(self, waiting: float) -> None:
        """The controller's seconds of this slot: what they decide holds for the next."""
        sample, last_s = self._sample(waiting), self._now_s + self._ticks * TICK_S
        self._tick(sample, self._now_s + TICK_S)
        if self._ticks > 1 and not self._stands_until(sample, last_s):
            for tick in range(2, self._ticks + 1):
                self._tick(sample, self._now_s + tick * TICK_S)
        self._now_s = last_s
        self._before = self._arrivals

    def _tick(self, sample: PoolSample, now_s: float) -> None:
        mode = self._state.mode
        _, self._state = spill_step(sample, self._state, self._policy, now_s=now_s)
        self.mode_changes += self._state.mode is not mode

    def _stands_until(self, sample: PoolSample, last_s: float) -> bool:
        """Whether the seconds from here to the last change nothing; if so, they have passed.

        The sample is the same in all of them, clocks only pass their limits and ratios only move on: what one step
        over all of them leaves as it is, none of them moves. Second by second took half of the time of a week's run.
        """
        state = self._state
        _, after = spill_step(sample, state, self._policy, now_s=last_s)
        if (after.mode, after.ratio, after.since_s) != (state.mode, state.ratio, state.since_s):
            return False
        self._state = after
        return True

    def _sample(self, waiting: float) -> PoolSample:
        ready = round(self._capacity / (self._mu * self._slot_s))
        per_s = (self._arrivals + (self._arrivals if self._before is None else self._before)) / (2 * self._slot_s)
        kv_ratio = self._kv_ratio() if ready else 0.0
        refused = (self._turned_away + waiting) if ready else 0.0
        return PoolSample(
            at_s=self._now_s,
            replicas_ready=ready,
            replicas_warming=0,
            replicas_draining=0,
            running=0,
            waiting=0,
            kv_cache_usage_ratio=kv_ratio,
            saturation_ratio=FULL_RATIO if refused > 0 else kv_ratio,
            arrivals_per_s=per_s,
            spilled_per_s=0.0,
            demand_replicas=per_s / self._mu,
            refused_now=refused,
        )

    def _kv_ratio(self) -> float:
        shape, use = self._shape, self._home / self._capacity
        return shape.kv_usage_at_slo_ratio * shape.running(self._mu * use, use) / shape.running(self._mu, 1.0)
