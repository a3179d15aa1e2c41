"""Plain fakes for the ports of the control loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from loop_values import DRAINING, LOST, READY, START_S, WARMING, replica

from controller.core.fleet import FleetView, Pin, Replica
from controller.core.pools import Pool
from controller.core.samples import EngineMetrics, GatewayCounters


class FakeClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now_s = START_S

    def unix_s(self) -> float:
        """Now."""
        return self.now_s


class FakePlatform:
    """Replicas in a dict. `broken`: what raises, as (call, pool or replica)."""

    def __init__(self, clock: FakeClock, cold_start_s: float) -> None:
        self.clock = clock
        self.cold_start_s = cold_start_s
        self.replicas: dict[str, Replica] = {}
        self.calls: list[tuple[str, str]] = []
        self.broken: dict[tuple[str, str], BaseException] = {}
        self.closed = False

    def add(self, *replicas: Replica) -> None:
        """They are there."""
        self.replicas |= {one.replica_id: one for one in replicas}

    def die(self, replica_id: str) -> None:
        """Its process has ended."""
        self.replicas[replica_id] = replace(self.replicas[replica_id], state=LOST, reason="process ended")

    def warm_up(self) -> None:
        """What has warmed long enough is ready."""
        for one in self.replicas.values():
            if one.state is WARMING and self.clock.now_s - one.started_at_s >= self.cold_start_s:
                self.replicas[one.replica_id] = replace(one, state=READY, ready_at_s=self.clock.now_s)

    def done(self, call: str) -> list[str]:
        """Whom this was done to."""
        return [name for what, name in self.calls if what == call]

    def _note(self, call: str, name: str) -> None:
        self.calls.append((call, name))
        if (call, name) in self.broken:
            raise self.broken[call, name]

    def manages(self, pool: Pool) -> bool:
        """Fixed endpoints are not ours."""
        return not pool.endpoints

    async def list_replicas(self, pool: Pool) -> tuple[Replica, ...]:
        """Those of the pool."""
        if ("list", pool.name) in self.broken:
            raise self.broken["list", pool.name]
        return tuple(one for one in self.replicas.values() if one.pool == pool.name)

    async def start(self, pool: Pool) -> str:
        """One more that warms up."""
        self._note("start", pool.name)
        name = f"{pool.name}-{len(self.calls)}"
        due_s = self.clock.now_s + self.cold_start_s
        self.add(
            replica(name, WARMING, pool=pool.name, started_at_s=self.clock.now_s, ready_at_s=due_s),
        )
        return name

    async def mark_draining(self, replica_id: str) -> None:
        """Listed as draining; one that was never ready has no time of it."""
        self._note("drain", replica_id)
        one = self.replicas[replica_id]
        ready_at_s = None if one.state is WARMING else one.ready_at_s
        self.replicas[replica_id] = replace(one, state=DRAINING, ready_at_s=ready_at_s)

    async def remove(self, replica_id: str) -> None:
        """Gone."""
        self._note("remove", replica_id)
        self.replicas.pop(replica_id, None)

    async def close(self) -> None:
        """Replicas stay."""
        self.closed = True


class FakeEngines:
    """Figures by URL; whoever is missing does not answer."""

    def __init__(self) -> None:
        self.figures: dict[str, EngineMetrics] = {}

    async def scrape(self, url: str) -> EngineMetrics | None:
        """What it says."""
        return self.figures.get(url)

    async def close(self) -> None:
        """Nothing to close."""


class FakeGateway:
    """Counters of each gateway that a test or the world sets; None is silence."""

    def __init__(self) -> None:
        self.counters: dict[str, GatewayCounters | None] = {}

    async def scrape(self) -> Mapping[str, GatewayCounters | None]:
        """What they say."""
        return self.counters

    async def close(self) -> None:
        """Nothing to close."""


@dataclass
class FakeSpec:
    """What operators said."""

    said_pins: dict[str, Pin] = field(default_factory=dict)
    said_drains: frozenset[str] = frozenset()

    def pins(self) -> Mapping[str, Pin]:
        """By pool."""
        return self.said_pins

    def drains(self) -> frozenset[str]:
        """By replica."""
        return self.said_drains


class FakeMemory:
    """Keeps the last word."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.times = 0

    def last(self) -> bytes | None:
        """The last one."""
        return self.data

    def keep(self, data: bytes) -> None:
        """One more."""
        self.data = data
        self.times += 1


class FakeSink:
    """Keeps every view."""

    def __init__(self) -> None:
        self.views: list[FleetView] = []

    def publish(self, view: FleetView) -> None:
        """One more."""
        self.views.append(view)

    def last(self) -> FleetView | None:
        """The newest."""
        return self.views[-1] if self.views else None
