"""Runs one ASGI app on one port until SIGTERM or SIGINT, then lets open answers finish."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn

from controller.web.server import BACKLOG, Server, listen

EXIT_FAILED = 1


def listen_or_exit(host: str, port: int) -> socket.socket:
    """A listening socket; ends the process with one clear line when the port cannot be had."""
    try:
        return listen(host, port)
    except OSError as error:
        sys.stderr.write(f"error: cannot listen on {host}:{port}: {error.strerror}\n")
        sys.exit(EXIT_FAILED)


async def serve(app: Any, listener: socket.socket, *, drain_s: float) -> None:
    """Answer requests until a signal comes and the open ones are done or `drain_s` has passed."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(drain_s)),
        backlog=BACKLOG,
    )
    server = Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with suppress(asyncio.CancelledError):
        await server.serve(sockets=[listener])


async def cold_start(seconds: float) -> bool:
    """Wait as a loading engine does; False when told to stop meanwhile."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        async with asyncio.timeout(seconds):
            await stopped.wait()
    except TimeoutError:
        pass
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
    return not stopped.is_set()


async def every(interval_s: float, job: Callable[[], None]) -> None:
    """Do a small job again and again."""
    while True:
        await asyncio.sleep(interval_s)
        job()
