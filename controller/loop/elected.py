"""Runs the control loop where several controllers stand ready and one of them has the seat.

Each keeps its picture of the cluster fresh; the one that has the seat ticks. Losing the seat ends the process, for
whoever has lost it cannot know what it still believes. While the picture is stale there is no tick, and nothing
changes.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson
import structlog
import uvicorn
from prometheus_client.registry import Collector

from controller.core.fleet import FleetView
from controller.loop.ports import Reloads
from controller.loop.serve import Pace, Status
from controller.loop.tick import ControlLoop
from controller.telemetry.gateway_metrics import registry_of
from controller.telemetry.kubernetes_metrics import LeaderMetrics
from controller.web.server import Server

log = structlog.get_logger()

FAREWELL_S = 5.0  # for the last status and what a successor shall know


class Seat(Protocol):
    """What one controller of several has."""

    @property
    def holder(self) -> str:
        """Who has it, as far as is known here."""
        ...

    def holds(self) -> bool:
        """Whether this one has it."""
        ...

    async def acquire(self) -> None:
        """Afterwards this one has it."""
        ...

    async def keep(self) -> None:
        """Never returns; raises once it is lost."""
        ...

    async def release(self) -> None:
        """Afterwards another one can have it."""
        ...


class Cluster(Protocol):
    """The system that the loop runs on, whether or not this controller has the seat."""

    @property
    def collectors(self) -> Sequence[Collector]:
        """Its metrics."""
        ...

    def stale(self) -> str:
        """What of the picture may not be acted on, in words; "" where all of it may."""
        ...

    def watches(self) -> Sequence[Coroutine[object, object, None]]:
        """What keeps the picture fresh, each until cancelled."""
        ...

    async def lead(self) -> ControlLoop:
        """The loop, from what the cluster and a predecessor say; waits for the picture."""
        ...

    def writers(self) -> Sequence[Coroutine[object, object, None]]:
        """What goes on beside the ticks of the one that leads, each until cancelled."""
        ...

    def before_tick(self) -> None:
        """What has changed since the last one is handed to the loop."""
        ...

    async def farewell(self) -> None:
        """Afterwards what the loop said last is written."""
        ...

    async def close(self) -> None:
        """Afterwards no connection is open."""
        ...


class WatchfulPace(Pace):
    """Ticks only while the picture is fresh; waiting for it is no ill health of this process."""

    def __init__(self, loop: ControlLoop, cluster: Cluster) -> None:
        super().__init__(loop)
        self._cluster = cluster
        self._waits = False

    async def _tick(self) -> None:
        words = self._cluster.stale()
        if words:
            if not self._waits:
                log.warning("tick_waits", reason=words)
            self._waits, self.last_done_s = True, time.monotonic()
            return
        if self._waits:
            log.info("tick_goes_on")
        self._waits = False
        try:
            self._cluster.before_tick()
        except Exception:  # a defect leaves the loop as it was, and ticking
            log.exception("changes_not_taken_over")
        await super()._tick()


@dataclass(slots=True)
class Standing:
    """Where this controller stands; `pace` None: another one leads."""

    seat: Seat
    cluster: Cluster
    pace: Pace | None = None

    def health(self) -> tuple[bool, str]:
        """Whether the process is well: the one that leads ticks, or waits for its picture."""
        if self.pace is None:
            return True, f"standby; the leader is {self.seat.holder or 'not known'}"
        return (True, "leader") if self.pace.healthy() else (False, "leader; no tick has finished lately")

    def readiness(self) -> tuple[bool, str]:
        """Whether it does or could do its work."""
        is_well, words = self.health()
        stale = self.cluster.stale()
        return (is_well, words) if not stale else (False, f"{words}; {stale}")


class ElectedStatus(Status):
    """/healthz, /readyz, /metrics and /v1/status of one that leads or waits."""

    def __init__(self, standing: Standing, collectors: Sequence[Collector]) -> None:
        self._standing = standing
        self._registry = registry_of(*collectors)

    def _answer(self, path: str) -> tuple[int, bytes, bytes]:
        if path in {"/healthz", "/readyz"}:
            well, words = self._standing.health() if path == "/healthz" else self._standing.readiness()
            return 200 if well else 503, b"text/plain; charset=utf-8", f"{words}\n".encode()
        if path == "/v1/status":
            pace = self._standing.pace
            return 200, b"application/json", orjson.dumps(FleetView() if pace is None else pace.loop.view)
        return super()._answer(path)


async def run(cluster: Cluster, seat: Seat, listener: socket.socket, reloads: Reloads) -> None:
    """Stands by, leads once it has the seat, and answers all the while; until SIGTERM, SIGINT, or the seat is lost."""
    standing, stop = Standing(seat, cluster), asyncio.Event()
    leader = LeaderMetrics(seat.holds)
    server = Server(
        uvicorn.Config(
            ElectedStatus(standing, (leader, reloads.metrics, *cluster.collectors)),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    events = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        events.add_signal_handler(number, stop.set)
    events.add_signal_handler(signal.SIGHUP, reloads.ask)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve([listener]), name="status-server")
            always = [group.create_task(one, name="watch") for one in cluster.watches()]
            always.append(group.create_task(reloads.run(), name="config-watch"))
            if await _unless(stop, seat.acquire()):
                await _lead(standing, leader, stop, group)
            for task in always:
                task.cancel()
            server.should_exit = True
            await serving
    finally:
        await cluster.close()
    log.info("stopped")


async def _lead(standing: Standing, leader: LeaderMetrics, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
    """Ticks until told to stop; then says what is to be said, and gives the seat away."""
    cluster, seat = standing.cluster, standing.seat
    keeping = group.create_task(seat.keep(), name="seat")
    ready: list[ControlLoop] = []

    async def begin() -> None:
        ready.append(await cluster.lead())

    if await _unless(stop, begin()):
        loop = ready[0]
        gc.collect()
        gc.freeze()  # what stays is not looked through again: every third tick of 200 pools took 0.1 s longer for it
        standing.pace = pace = WatchfulPace(loop, cluster)
        leader.leading = loop.metrics
        writing = [group.create_task(one, name="writer") for one in cluster.writers()]
        stopping = group.create_task(_then(stop, pace.stop), name="stopping")
        await pace.run()
        stopping.cancel()
        await loop.close()
        for task in writing:
            task.cancel()
        await _in_time(cluster.farewell())
    keeping.cancel()
    await seat.release()


async def _unless(stop: asyncio.Event, work: Coroutine[object, object, None]) -> bool:
    """Whether the work was done before the stop came."""
    doing = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
            return not stop.is_set()
        return False
    finally:
        for task in (doing, stopping):
            task.cancel()
        await asyncio.gather(doing, stopping, return_exceptions=True)


async def _then(stop: asyncio.Event, act: Callable[[], None]) -> None:
    await stop.wait()
    act()


async def _in_time(work: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(FAREWELL_S):
            await work
    except TimeoutError:
        log.warning("farewell_cut_short", after_s=FAREWELL_S)
