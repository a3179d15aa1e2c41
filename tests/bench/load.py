"""The load generator: raw protocols on uvloop, prebuilt requests, as little work per answer as HTTP allows."""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

STAMP = re.compile(rb" @(\d{16})")
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class Counts:
    """What one run saw. `relayed_us`: how long each event was on its way from the mock; `cpu_s`: of the target."""

    answers: int = 0
    errors: int = 0
    events: int = 0
    latencies_s: list[float] = field(default_factory=list)
    relayed_us: list[int] = field(default_factory=list)
    first_error: str | None = None
    cpu_s: float = 0.0

    def copied(self) -> Counts:
        """The counts of this moment, which what still comes in does not change."""
        return replace(self, latencies_s=list(self.latencies_s), relayed_us=list(self.relayed_us))

    def since(self, before: Counts) -> Counts:
        """What was counted after `before`, a copy of these counts."""
        return replace(
            self,
            answers=self.answers - before.answers,
            events=self.events - before.events,
            latencies_s=self.latencies_s[len(before.latencies_s) :],
            relayed_us=self.relayed_us[len(before.relayed_us) :],
            cpu_s=self.cpu_s - before.cpu_s,
        )

    def latency_ms(self, percent: int) -> float:
        """A percentile of the latencies in milliseconds."""
        return _percentile(self.latencies_s, percent) * 1e3

    def relay_ms(self, percent: int) -> float:
        """A percentile of the times that events were on their way, in milliseconds."""
        return _percentile(self.relayed_us, percent) / 1e3


def _percentile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def request_bytes(port: int, body: Mapping[str, object], headers: Mapping[str, str]) -> bytes:
    """One POST of a chat completion, ready to be written."""
    payload = json.dumps(body).encode()
    lines = ["POST /v1/chat/completions HTTP/1.1", f"host: 127.0.0.1:{port}", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"content-length: {len(payload)}", "", ""]).encode() + payload


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered, until told to stop."""

    def __init__(self, request: bytes, counts: Counts, stop: asyncio.Event) -> None:
        self._request = request
        self._counts = counts
        self._stop = stop
        self._buffer = b""
        self._body_end = -1  # -1: head not seen yet, -2: chunked
        self._status_ok = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._ask()

    def _ask(self) -> None:
        self._started_s = time.perf_counter()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Frame the answer; events are counted as they come."""
        if self._body_end == -2:
            self._counts.events += data.count(b"data: ")
            now_us = time.monotonic_ns() // 1000
            self._counts.relayed_us += [now_us - int(stamp) for stamp in STAMP.findall(data)]
            self._buffer = (self._buffer + data)[-5:] if len(data) < 5 else data[-5:]
            if self._buffer == b"0\r\n\r\n":
                self._answered()
            return
        self._buffer = self._buffer + data if self._buffer else data
        if self._body_end == -1:
            head_end = self._buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            self._status_ok = self._buffer.startswith(b"HTTP/1.1 200")
            if not self._status_ok and self._counts.first_error is None:
                self._counts.first_error = self._buffer[:600].decode(errors="replace")
            length = CONTENT_LENGTH.search(self._buffer, 0, head_end + 2)
            if length is None:
                body, self._buffer, self._body_end = self._buffer[head_end + 4 :], b"", -2
                if body:
                    self.data_received(body)
                return
            self._body_end = head_end + 4 + int(length[1])
        if len(self._buffer) >= self._body_end:
            self._answered()

    def _answered(self) -> None:
        counts = self._counts
        if self._status_ok:
            counts.answers += 1
            counts.latencies_s.append(time.perf_counter() - self._started_s)
        else:
            counts.errors += 1
        self._buffer, self._body_end = b"", -1
        if self._stop.is_set():
            self.transport.close()
        elif self._status_ok:
            self._again()
        else:
            asyncio.get_running_loop().call_later(0.05, self._ask)  # a refusing target is not hammered

    def _again(self) -> None:
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """An early end is an error."""
        if not self._stop.is_set():
            self._counts.errors += 1
            self._counts.first_error = self._counts.first_error or f"connection lost: {exc!r}"
        if not self.done.done():
            self.done.set_result(None)


class PacedClient(Client):
    """One connection that asks once in `period_s`; time counts from when the request was due, if that was busy time."""

    def __init__(self, request: bytes, counts: Counts, stop: asyncio.Event, period_s: float) -> None:
        super().__init__(request, counts, stop)
        self._period_s = period_s
        self._due_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time at a random moment of the period, so that clients do not ask all at once."""
        self.transport = cast("asyncio.Transport", transport)
        self._due_s = time.perf_counter() + random.random() * self._period_s
        self._wait()

    def _again(self) -> None:
        self._due_s += self._period_s
        if self._due_s > time.perf_counter():
            self._wait()
            return
        self._ask()
        self._started_s = self._due_s

    def _wait(self) -> None:
        asyncio.get_running_loop().call_later(self._due_s - time.perf_counter(), self._ask)


async def closed_loop(
    port: int,
    request: bytes,
    *,
    connections: int,
    duration_s: float,
    per_s: float | None = None,
    open_over_s: float = 0.0,
    cpu_s: Callable[[], float] = lambda: 0.0,
) -> tuple[Counts, float]:
    """Counts of `connections` clients that ask without pause, or `per_s` times in all, and the seconds that took.

    They come one after another within `open_over_s`, which is not counted, nor is what is still under way at the end.
    """
    counts, stop = Counts(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def make() -> Client:
        return PacedClient(request, counts, stop, connections / per_s) if per_s else Client(request, counts, stop)

    before, started_s, clients = Counts(cpu_s=cpu_s()), time.perf_counter(), []
    for _ in range(connections):
        _, client = await loop.create_connection(make, "127.0.0.1", port)
        clients.append(client)
        await asyncio.sleep(open_over_s / connections)
    if open_over_s:
        counts.cpu_s = cpu_s()
        before, started_s = counts.copied(), time.perf_counter()
    await asyncio.sleep(duration_s)
    stop.set()
    took_s, counts.cpu_s = time.perf_counter() - started_s, cpu_s()
    result = counts.copied().since(before)
    await asyncio.wait([client.done for client in clients], timeout=10.0)
    for client in clients:
        client.transport.abort()
    return result, took_s


async def open_and_leave(port: int, request: bytes, *, streams: int) -> None:
    """Open streams, read for a moment, and close every connection without a word."""
    counts, stop = Counts(), asyncio.Event()
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(streams):
        _, client = await loop.create_connection(lambda: Client(request, counts, stop), "127.0.0.1", port)
        clients.append(client)
    deadline_s = time.monotonic() + 15.0
    while counts.events < streams and time.monotonic() < deadline_s:
        await asyncio.sleep(0.05)
    stop.set()
    for client in clients:
        client.transport.abort()


async def get(port: int, path: str) -> bytes:
    """The body of one GET."""
    async with asyncio.timeout(5.0):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        writer.close()
    return body


async def get_json(port: int, path: str) -> dict[str, int]:
    """The JSON body of one GET."""
    document: dict[str, int] = json.loads(await get(port, path))
    return document
