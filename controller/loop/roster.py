"""The pools of a control loop from one configuration to the next, and what is known of each.

A pool that stays keeps all of it; one that is new begins with what an earlier controller has kept of it, and one that
comes back within an hour with what was known when it left. Replicas that were started here go when their pool does:
they drain like any others, and until the last of them is gone the pool is `leaving`. Called by `tick`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.config.settings import Settings
from controller.core.fleet import FleetView, Pin, PoolView, RoutingMode
from controller.core.pools import Pool
from controller.loop.memory import LONGEST_S, Memory, pool_memory, resumed
from controller.loop.observe import PoolWatch
from controller.loop.plan import PoolState

REMOVED_FOR_S = 60.0  # a pin is renewed each tick; so long it would outlive the controller


class Roster:
    """`states` and `watches` are by pool, of those there are and those that leave."""

    def __init__(
        self, settings: Settings, kept: Memory, view: FleetView, now_s: float, *, stops: Callable[[Pool], bool]
    ) -> None:
        self.settings = settings
        self._kept = kept
        self._stops = stops  # whether the replicas of a pool go with it
        self._leaving: dict[str, Pool] = {}
        self._left: dict[str, tuple[float, PoolState]] = {}
        self.states: dict[str, PoolState] = {}
        self.watches: dict[str, PoolWatch] = {}
        for pool in settings.pools.values():
            self._begin(pool, view, now_s)

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Those that are looked after: a name that is used again waits until the pool that had it has left."""
        return {**self.settings.pools, **self._leaving} if self._leaving else self.settings.pools

    def adopt(self, settings: Settings, view: FleetView, now_s: float) -> frozenset[str]:
        """Afterwards the pools are those of the settings; the names of those that are gone at once."""
        former, self.settings = self.settings, settings
        removed = [pool for name, pool in former.pools.items() if name not in settings.pools]
        for pool in removed:
            if self._stops(pool):
                self._leaving.setdefault(pool.name, replace(pool, scale=replace(pool.scale, min_replicas=0)))
            elif pool.name not in self._leaving:
                self.forget(pool.name, now_s)
        for name, pool in settings.pools.items():
            leaving = self._leaving.get(name)
            if leaving is not None and leaving.model == pool.model:
                del self._leaving[name]
            elif leaving is not None:
                continue
            if name in self.states:
                self.watches[name].takes(pool, settings.step_times.get(name))
            else:
                self._begin(pool, view, now_s)
        return frozenset(pool.name for pool in removed) - self._leaving.keys()

    def _begin(self, pool: Pool, view: FleetView, now_s: float) -> None:
        left_at_s, state = self._left.pop(pool.name, (0.0, None))
        if state is not None and now_s - left_at_s <= LONGEST_S:
            again = resumed(None, pool_memory(state, None), now_s - left_at_s, now_s)
            self.states[pool.name] = replace(again, cold_starts=state.cold_starts)
        else:
            kept, published = self._kept.pools.get(pool.name), view.pools.get(pool.name)
            self.states[pool.name] = resumed(published, kept, now_s - self._kept.at_s, now_s)
        self.watches[pool.name] = PoolWatch(pool, self.settings.step_times.get(pool.name))

    def pins(self, said: Mapping[str, Pin], now_s: float) -> Mapping[str, Pin]:
        """What operators have said, and that pools which leave shall have no replica."""
        if not self._leaving:
            return said
        gone = Pin(
            routing=RoutingMode.EXTERNAL,
            replicas=0,
            who="spillway.yaml",
            reason="the pool is not in the configuration any more",
            until_s=now_s + REMOVED_FOR_S,
        )
        return {**said, **dict.fromkeys(self._leaving, gone)}

    def left(self, published: Mapping[str, PoolView], view: FleetView, now_s: float) -> frozenset[str]:
        """Which of those that leave are gone, as they have no replica any more; a new pool may begin under the name."""
        if not self._leaving:
            return frozenset()
        gone = frozenset(name for name in self._leaving if name in published and not published[name].replicas)
        for name in gone:
            self.forget(name, now_s)
            pool = self.settings.pools.get(name)
            if pool is not None:
                self._left.pop(name, None)
                self._begin(pool, view, now_s)
        return gone

    def forget(self, name: str, now_s: float) -> None:
        """Afterwards the pool is not looked after; should it come back soon, what was learned is still there."""
        self._leaving.pop(name, None)
        state = self.states.pop(name, None)
        self.watches.pop(name, None)
        if state is not None:
            self._left[name] = (now_s, state)
        for old in [old for old, (at_s, _) in self._left.items() if now_s - at_s > LONGEST_S]:
            del self._left[old]
