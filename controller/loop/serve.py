"""Runs the control loop: a tick at a steady pace, and an HTTP server for health, metrics and status."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import orjson
import structlog
import uvicorn
from prometheus_client.registry import Collector

from controller.loop.ports import Reloads
from controller.loop.tick import ControlLoop
from controller.telemetry.gateway_metrics import registry_of, render
from controller.web.server import Server

log = structlog.get_logger()

Message = MutableMapping[str, Any]  # Any: the ASGI specification's own type
Send = Callable[[Message], Awaitable[None]]

TICK_DEADLINE_S = 10.0
STALE_S = 15.0  # without a finished tick for this long, the controller is not healthy
_TEXT = b"text/plain; charset=utf-8"


class Pace:
    """The ticks of a loop, one after the other, until told to stop."""

    def __init__(self, loop: ControlLoop) -> None:
        self.loop = loop
        self._stop = asyncio.Event()
        self.last_done_s: float | None = None  # monotonic

    def stop(self) -> None:
        """Afterwards no new tick begins."""
        self._stop.set()

    async def run(self) -> None:
        """Ticks at a steady pace; one that fails changes nothing and the next one tries again."""
        due_s = time.monotonic()
        while not self._stop.is_set():
            await self._tick()
            due_s = max(due_s + self.loop.settings.controller.tick_s, time.monotonic())
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + due_s - time.monotonic()):
                    await self._stop.wait()
            except TimeoutError:
                continue

    async def _tick(self) -> None:
        started_s, done = time.monotonic(), False
        try:
            async with asyncio.timeout(TICK_DEADLINE_S):
                await self.loop.tick()
            done, self.last_done_s = True, time.monotonic()
        except Exception:  # a defect ends its tick, not the loop
            log.exception("tick_failed")
        self.loop.metrics.ticked(time.monotonic() - started_s, done=done)

    def healthy(self) -> bool:
        """Whether ticks get done."""
        return self.last_done_s is not None and time.monotonic() - self.last_done_s < STALE_S


class Status:
    """An ASGI callable: /healthz, /readyz, /metrics and /v1/status."""

    def __init__(self, pace: Pace, collectors: Sequence[Collector] = ()) -> None:
        self._pace = pace
        self._registry = registry_of(pace.loop.metrics, *collectors)

    async def __call__(self, scope: Message, receive: object, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        status, kind, body = self._answer(scope["path"] if scope["method"] == "GET" else "")
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str) -> tuple[int, bytes, bytes]:
        if path in {"/healthz", "/readyz"}:
            return (200, _TEXT, b"ok\n") if self._pace.healthy() else (503, _TEXT, b"no tick has finished lately\n")
        if path == "/metrics":
            return 200, b"text/plain; version=0.0.4; charset=utf-8", render(self._registry)
        if path == "/v1/status":
            return 200, b"application/json", orjson.dumps(self._pace.loop.view)
        return 404, _TEXT, b"not found; see /healthz /readyz /metrics /v1/status\n"


async def run(loop: ControlLoop, listener: socket.socket, reloads: Reloads | None = None) -> None:
    """Ticks and answers until SIGTERM or SIGINT; replicas go on running."""
    pace = Pace(loop)
    status = Status(pace, () if reloads is None else (reloads.metrics,))
    server = Server(
        uvicorn.Config(
            status, lifespan="off", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, pace.stop)
    if reloads is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloads.ask)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve([listener]), name="status-server")
            watching = None if reloads is None else group.create_task(reloads.run(), name="config-watch")
            await pace.run()
            server.should_exit = True
            if watching is not None:
                watching.cancel()
            await serving
    finally:
        await loop.close()
    log.info("stopped")
