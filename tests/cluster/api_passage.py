"""Passes calls on to the API and its answers back, with what the faults of the moment do to them.

Runs in the loop of its proxy (`apiserver_proxy`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping

import aiohttp
from aiohttp import web

from tests.cluster.api_asked import Asked, Call, asked_of
from tests.cluster.api_faults import CallFault, Faults, WatchFaults

HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "content-length", "host", "authorization", "te", "upgrade")
)
CONNECT_S = 10.0
SWAP_S = 1.0
KEPT_CALLS = 200_000
Timed = tuple[float, bytes]  # a line of a watch, and when it came


class Passage:
    """What callers connect to, made in its loop. `who`: headers that say whom the API shall take them for."""

    def __init__(self, server: str, tls: ssl.SSLContext, who: Mapping[str, str], faults: Faults, port: int) -> None:
        self._server, self._who, self._faults, self._port = server, who, faults, port
        self.calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self.open_watches: dict[str, int] = {}
        self._http = web.Server(self._handle, handler_cancellation=True)
        self._runner = web.ServerRunner(self._http)
        self._site: web.TCPSite | None = None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),
        )

    async def setup(self) -> None:
        """It listens."""
        await self._runner.setup()
        await self.listen()

    async def end(self) -> None:
        """Nothing of it is left."""
        await self.cut()
        await self._runner.cleanup()
        await self._session.close()

    async def listen(self) -> None:
        """Connections are taken from now on."""
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await self._site.start()

    async def refuse(self) -> None:
        """No connection is taken any more, and those that were are reset."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        await self.cut()

    async def cut(self) -> None:
        """Every connection is reset."""
        for connection in list(self._http.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def fetch(self, path: str) -> bytes:
        """What the API says there."""
        async with self._session.get(self._server + path, headers=self._who) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = asked_of(request.method, request.path, request.query, request.headers.get("Content-Type", ""))
        began_s, body = time.monotonic(), await request.read()
        await self._faults.unless_silent()
        fault = self._faults.for_call(asked)
        if fault is not None and fault.cut != "after":
            self.calls.append(Call(asked=asked, at_s=began_s, status=fault.status, done=False, body=body))
            return _spoiled(request, fault)
        try:
            return await self._pass_on(request, asked, body, began_s, fault)
        except aiohttp.ClientError:
            self.calls.append(Call(asked=asked, at_s=began_s, status=None, done=False, body=body))
            raise _reset(request) from None

    async def _pass_on(
        self, request: web.BaseRequest, asked: Asked, body: bytes, began_s: float, fault: CallFault | None
    ) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers |= {"Accept-Encoding": "identity", **self._who}
        url = f"{self._server}{request.raw_path}"
        async with self._session.request(
            request.method, url, data=body or None, headers=headers, allow_redirects=False
        ) as answer:
            done = answer.status < 300
            status = answer.status if fault is None else None
            self.calls.append(Call(asked=asked, at_s=began_s, status=status, done=done, body=body))
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            if asked.verb == "watch" and done:
                return await self._relay(request, asked.resource, answer, kept)
            data = await answer.read()
            await self._faults.unless_silent()
            if fault is not None:
                raise _reset(request, fault)
            return web.Response(status=answer.status, body=data, headers=kept)

    async def _relay(
        self, request: web.BaseRequest, resource: str, answer: aiohttp.ClientResponse, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        self.open_watches[resource] = self.open_watches.get(resource, 0) + 1
        try:
            async with contextlib.aclosing(self._events(resource, answer)) as events:
                async for line in events:
                    await self._faults.unless_frozen(resource)
                    await response.write(line + b"\n")
            await self._faults.unless_frozen(resource)
            await response.write_eof()
        finally:
            self.open_watches[resource] -= 1
        return response

    async def _events(self, resource: str, answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """The events as the caller shall hear them."""
        queue: asyncio.Queue[Timed | None] = asyncio.Queue()
        reading = asyncio.create_task(_read(answer, queue), name="read-watch")
        before = b""
        try:
            while (item := await queue.get()) is not None:
                faults = self._faults.watches.get(resource, WatchFaults())
                for at_s, line in await _swapped(item, queue) if faults.swaps else [item]:
                    await asyncio.sleep(max(0.0, at_s + faults.delay_s - time.monotonic()))
                    if not faults.lets_through(line):
                        continue
                    for said in (line, line, before) if faults.repeats and before else (line,):
                        yield said
                    before = line
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def _spoiled(request: web.BaseRequest, fault: CallFault) -> web.Response:
    if fault.cut:
        raise _reset(request, fault)
    headers = {"Content-Type": "application/json", **fault.headers}
    return web.Response(status=fault.status or 500, body=fault.body, headers=headers)


def _reset(request: web.BaseRequest, fault: CallFault | None = None) -> ConnectionResetError:
    if fault is not None and fault.then is not None:
        fault.then()
    if request.transport is not None:
        request.transport.abort()
    return ConnectionResetError()


async def _read(answer: aiohttp.ClientResponse, queue: asyncio.Queue[Timed | None]) -> None:
    rest = b""
    with contextlib.suppress(aiohttp.ClientError):
        async for piece in answer.content.iter_any():
            *whole, rest = (rest + piece).split(b"\n")
            for line in filter(None, whole):
                queue.put_nowait((time.monotonic(), line))
    queue.put_nowait(None)


async def _swapped(item: Timed, queue: asyncio.Queue[Timed | None]) -> list[Timed]:
    """The next event first, where one comes soon."""
    try:
        async with asyncio.timeout(SWAP_S):
            following = await queue.get()
    except TimeoutError:
        return [item]
    if following is None:
        queue.put_nowait(None)
        return [item]
    return [following, item]


async def passage(server: str, tls: ssl.SSLContext, who: Mapping[str, str], faults: Faults, port: int) -> Passage:
    """One that listens."""
    made = Passage(server, tls, who, faults, port)
    await made.setup()
    return made
