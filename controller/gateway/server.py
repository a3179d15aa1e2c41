"""Runs the gateway: two servers on one event loop, a drain on SIGTERM, nothing left behind.

On the first signal the gateway turns unready and says with every answer that it is the connection's last. After a lead,
in which whoever sends requests can notice, it takes no new connection, while open answers go on until the drain
deadline; those still open then end with an error event. A second signal makes that happen at once.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
import uvloop
from prometheus_client.registry import Collector

from controller.config.settings import GatewaySettings, Settings
from controller.gateway.admin import Admin
from controller.gateway.answers import Headers, base_headers, error_body, error_headers
from controller.gateway.app import Gateway
from controller.gateway.books_page import ReadBooks
from controller.gateway.loop_lag import LoopLag
from controller.gateway.memory import MemoryReturn
from controller.gateway.ports import Clock, Reloads
from controller.gateway.refusals import malformed
from controller.web.h1_connection import App, Limits
from controller.web.h1_server import H1Server
from controller.web.server import listen

log = structlog.get_logger()

GRACE_S = 2.0  # after the deadline: for error events to leave
GC_THRESHOLDS = (50_000, 25, 50)  # fewer passes than by default: the heap at rest is frozen anyway
MOST_FILES = 1_000_000
ADMIN_CONNECTIONS = 32
OWN_FILES = 64  # descriptors for the database, logs, the admin port and what else is no request
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A gateway with what lives and dies with it. `watch` runs until cancelled; `close` writes down what is queued.

    `reloads` None: the configuration is that of the start. `collectors`: further metrics of the process. `is_ready`:
    whether it knows its pools. `books`: what was spent today, for a thread.
    """

    gateway: Gateway
    clock: Clock
    watch: Callable[[], Awaitable[None]]
    close: Callable[[], None]
    reloads: Reloads | None = None
    collectors: tuple[Collector, ...] = ()
    is_ready: Callable[[], bool] = lambda: True
    books: ReadBooks = dict


def connection_limit(open_files: int) -> int:
    """How many callers may be connected: each may need a second descriptor, towards its upstream."""
    return max(1, (open_files - OWN_FILES) // 2)


def _open_files() -> int:
    """How many descriptors this process may have, raised to the most that it may give itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)


def limits_of(settings: GatewaySettings, connections: int) -> Limits:
    """What a connection bears."""
    caps = settings.caps
    return Limits(
        header_bytes=caps.header_bytes,
        header_count=caps.header_count,
        discard_bytes=caps.discard_bytes,
        pipelined=caps.pipelined,
        header_s=settings.timeouts.header_s,
        connections=connections,
    )


def _server(gateway: Gateway, app: App, limits: Limits) -> H1Server:
    """A server that refuses what is no request in the words of the gateway."""

    def refusal(status: int, why: str) -> tuple[Headers, bytes]:
        error = malformed(status, why)
        gateway.metrics.refused[status] = gateway.metrics.refused.get(status, 0) + 1
        return error_headers(error, base_headers(gateway.request_id().encode())), error_body(error)

    return H1Server(app, refusal, limits)


class _Drain:
    """What signals do."""

    def __init__(self, gateway: Gateway, data: H1Server) -> None:
        self._gateway = gateway
        self._data = data
        self._timer: asyncio.TimerHandle | None = None

    def on_signal(self) -> None:
        """The first one drains, the next one cuts."""
        if self._gateway.draining:
            self._data.stop()
            self._cut()
            return
        self._gateway.drain()
        self._data.lead_away()
        in_flight, terms = self._gateway.metrics.in_flight, self._gateway.settings.gateway
        log.info("draining", in_flight=in_flight, lead_s=terms.drain_lead_s, deadline_s=terms.drain_s)
        if terms.drain_lead_s:
            self._timer = asyncio.get_running_loop().call_later(terms.drain_lead_s, self._close_doors)
        else:
            self._close_doors()

    def _close_doors(self) -> None:
        self._data.stop()
        self._timer = asyncio.get_running_loop().call_later(self._gateway.settings.gateway.drain_s, self._cut)

    def _cut(self) -> None:
        self.close()
        log.warning("drain_deadline_passed", cut=self._gateway.abort())

    def close(self) -> None:
        """Afterwards no timer is left."""
        if self._timer is not None:
            self._timer.cancel()


async def _run(service: Service, settings: Settings, listeners: tuple[socket.socket, socket.socket]) -> None:
    gateway = service.gateway
    limits = limits_of(settings.gateway, connection_limit(_open_files()))
    data = _server(gateway, gateway, limits)
    admin_limits = limits_of(settings.gateway, ADMIN_CONNECTIONS)
    reloads = service.reloads
    collectors = service.collectors if reloads is None else (*service.collectors, reloads.metrics)
    pages = Admin(
        gateway,
        now_s=service.clock.monotonic_s,
        collectors=collectors,
        is_ready=service.is_ready,
        books=service.books,
    )
    admin = _server(gateway, pages, admin_limits)
    drain, loop = _Drain(gateway, data), asyncio.get_running_loop()
    lag = LoopLag(gateway.metrics.loop_lag, gateway.metrics.loop_computed)
    memory = MemoryReturn(lambda: gateway.metrics.in_flight)
    gateway.metrics.tasks = lambda: len(asyncio.all_tasks())
    for number in SIGNALS:
        loop.add_signal_handler(number, drain.on_signal)
    if reloads is not None:
        loop.add_signal_handler(signal.SIGHUP, reloads.ask)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    log.info("listening", host=settings.gateway.host, port=settings.gateway.port, pools=list(settings.pools))
    lag.start()
    memory.start()
    try:
        async with asyncio.TaskGroup() as group:
            watched = {
                "fleet-watch": service.watch,
                "rate-limits": gateway.rate_limits.run,
                "revoked-keys": gateway.open_answers.watch,
                **({} if reloads is None else {"config-watch": reloads.run}),
            }
            watches = [group.create_task(_forever(watch), name=name) for name, watch in watched.items()]
            answering = group.create_task(admin.serve(listeners[1], grace_s=lambda: GRACE_S), name="admin-server")
            await data.serve(listeners[0], grace_s=lambda: gateway.settings.gateway.drain_s + GRACE_S)
            admin.stop()
            for task in watches:
                task.cancel()
            await answering
    finally:
        lag.stop()
        memory.stop()
        drain.close()
        await gateway.aclose()
    log.info("stopped", in_flight=gateway.metrics.in_flight)


async def _forever(watch: Callable[[], Awaitable[None]]) -> None:
    """A watch that ends by itself takes the process down, so that it is started again rather than left blind."""
    await watch()
    raise RuntimeError("a watch ended")


def serve(service: Service, settings: Settings) -> None:
    """Answer requests until told to stop; OSError when a port is taken."""
    listeners = (
        listen(settings.gateway.host, settings.gateway.port),
        listen(settings.gateway.admin_host, settings.gateway.admin_port),
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(service, settings, listeners))
    finally:
        for listener in listeners:
            listener.close()
        service.close()
