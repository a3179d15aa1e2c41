"""What the control loop needs from outside; adapters fit these structurally and `cli/wiring.py` joins the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from prometheus_client.registry import Collector

from controller.core.fleet import FleetView, Pin, Replica
from controller.core.pools import Pool
from controller.core.samples import EngineMetrics, GatewayCounters


class Platform(Protocol):
    """Where replicas run."""

    def manages(self, pool: Pool) -> bool:
        """Whether replicas of this pool can be started and stopped."""
        ...

    async def list_replicas(self, pool: Pool) -> tuple[Replica, ...]:
        """Every replica that runs or was lost."""
        ...

    async def start(self, pool: Pool) -> str:
        """Start one replica; its id."""
        ...

    async def mark_draining(self, replica_id: str) -> None:
        """From now on it is listed as draining."""
        ...

    async def remove(self, replica_id: str) -> None:
        """Stop that very replica; it is no longer listed."""
        ...

    async def close(self) -> None:
        """Let go of everything; replicas go on running."""
        ...


class EngineFeed(Protocol):
    """Reads engines."""

    async def scrape(self, url: str) -> EngineMetrics | None:
        """The engine's figures; None when it did not answer in time."""
        ...

    async def close(self) -> None:
        """Afterwards no connection is open."""
        ...


class GatewayFeed(Protocol):
    """Reads all gateways."""

    async def scrape(self) -> Mapping[str, GatewayCounters | None]:
        """The counters of each; None when it did not answer in time."""
        ...

    async def close(self) -> None:
        """Afterwards no connection is open."""
        ...


class SpecFeed(Protocol):
    """What operators have said."""

    def pins(self) -> Mapping[str, Pin]:
        """By pool; expired ones may be among them."""
        ...

    def drains(self) -> frozenset[str]:
        """Replicas to be drained and stopped."""
        ...


class FleetSink(Protocol):
    """Where views are published."""

    def publish(self, view: FleetView) -> None:
        """Afterwards gateways can read it."""
        ...

    def last(self) -> FleetView | None:
        """The last one, also an earlier controller's."""
        ...


class MemoryStore(Protocol):
    """Where a controller leaves word for its successor."""

    def last(self) -> bytes | None:
        """What was kept last; None when nothing was."""
        ...

    def keep(self, data: bytes) -> None:
        """Afterwards it is kept, as far as that can be."""
        ...


class Reloads(Protocol):
    """Reads the configuration again, and hands it to the control loop, when there is another one."""

    @property
    def metrics(self) -> Collector:
        """Whether the newest configuration is in force."""
        ...

    def ask(self) -> None:
        """Afterwards it is read again soon."""
        ...

    async def run(self) -> None:
        """Looks until cancelled."""
        ...


class Clock(Protocol):
    """Time. Decisions outlive the process, so they are dated in unix seconds."""

    def unix_s(self) -> float:
        """Seconds since 1970."""
        ...
