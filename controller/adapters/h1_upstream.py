"""HTTP/1.1 client for own engines on a private network: an asyncio.Protocol, llhttp and a keep-alive pool.

Why ours: a library client costs a hop between its threads and the event loop per chunk. TLS, proxies and HTTP/2 are not
here on purpose; external providers go through `aiohttp_upstream`. Satisfies `gateway.ports.Upstream`.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import urlsplit

from controller.adapters.h1_engine_connection import EngineConnection
from controller.adapters.name_lookup import NameLookup
from controller.adapters.upstream_call import Call
from controller.core.errors import EngineUnavailable, EngineUnreachable, UpstreamTimeout

HEADS_KEPT = 1024
IDLE_SWEEP_S = 2.0  # a socket goes at the second sweep that finds it idle: before the engine, as vLLM closes after 5 s


class H1Response:
    """An answer of `H1Upstream`."""

    __slots__ = ("_closed", "_connection", "status")

    def __init__(self, connection: EngineConnection) -> None:
        self._connection = connection
        self._closed = False
        self.status = connection.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Values by lower-case name."""
        return self._connection.headers

    async def read(self) -> bytes:
        """The next bytes, empty at the end."""
        connection = self._connection
        while True:
            data = connection.take()
            if data or connection.complete:
                return data
            if connection.lost or connection.failure:
                raise EngineUnavailable(f"connection broke: {connection.failure}")
            await connection.wait()

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Gives `take` each piece as it comes; False at the end of the body, True when `take` wants no more for now."""
        connection = self._connection
        try:
            while True:
                data = connection.take()
                if data:
                    if not take(data):
                        return True
                elif connection.complete:
                    return False
                elif connection.lost or connection.failure:
                    raise EngineUnavailable(f"connection broke: {connection.failure}")
                connection.sink = take
                if not connection.complete:
                    await connection.wait()
                if connection.sink is None:
                    return True
        finally:
            connection.sink = None

    def hang_up(self) -> None:
        """The engine hears that nobody listens; `close` still follows."""
        if not self._closed:
            self._connection.hang_up()

    async def close(self, *, finished: bool = False) -> None:
        """Keep the socket when the answer is whole (or `finished`: its end marker was read), else cut it."""
        if self._closed:
            return
        self._closed = True
        if finished or self._connection.complete:
            self._connection.finish()
        else:
            self._connection.drop("caller left")


class H1Upstream:
    """Calls over plain HTTP/1.1 with keep-alive."""

    def __init__(self, names: NameLookup | None = None) -> None:
        self._names = names or NameLookup()
        self._idle: dict[str, list[EngineConnection]] = {}
        self._open: set[EngineConnection] = set()  # idle or not
        self._targets: dict[str, tuple[str, int, str, bytes]] = {}
        self._heads: dict[tuple[object, ...], bytes] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def _target(self, base_url: str) -> tuple[str, int, str, bytes]:
        found = self._targets.get(base_url)
        if found is None:
            parts = urlsplit(base_url)
            if parts.scheme != "http" or not parts.hostname:
                raise EngineUnavailable(f"not a plain http:// address: {base_url}")
            found = (parts.hostname, parts.port or 80, parts.path.rstrip("/"), parts.netloc.encode("ascii"))
            self._targets[base_url] = found
        return found

    def _head(self, key: tuple[object, ...], call: Call) -> bytes:
        """What the heads of all such calls begin with, up to the id of the request."""
        _, _, prefix, netloc = self._target(call.base_url)
        lines = [f"POST {prefix}{call.path} HTTP/1.1\r\nhost: ".encode("latin-1"), netloc]
        lines.extend(f"\r\n{name}: {value}".encode("latin-1") for name, value in call.headers)
        lines.append(b"\r\nx-request-id: ")
        if len(self._heads) >= HEADS_KEPT:
            self._heads.clear()
        head = self._heads[key] = b"".join(lines)
        return head

    async def _connect(self, base_url: str, idle: list[EngineConnection], timeout_s: float) -> EngineConnection:
        host, port, _, _ = self._target(base_url)
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._connected(host, port, idle)
        except TimeoutError as error:
            raise UpstreamTimeout("connect", timeout_s) from error
        except OSError as error:
            raise EngineUnreachable(f"no connection to {host}:{port}: {error.strerror or error}") from error
        except UnicodeError as error:
            raise EngineUnreachable(f"no connection to {host}:{port}: not the name of a host") from error
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_SWEEP_S, self._sweep)
        return connection

    async def _connected(self, host: str, port: int, idle: list[EngineConnection]) -> EngineConnection:
        """A connection to the first address of the host that takes one; OSError of the last when none does."""
        loop, refused = asyncio.get_running_loop(), OSError("it has no address")
        for address in await self._addresses(host):
            try:
                make = partial(EngineConnection, idle, self._open, (host, address))
                _, connection = await loop.create_connection(make, address, port)
            except OSError as error:
                refused = error
            else:
                return connection
        raise refused

    async def _addresses(self, host: str) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            return [address for _, _, address in await self._names.find(host)]

    def _sweep(self) -> None:
        """Afterwards no socket is kept that was idle at the last sweep too: those of a crowd go once it has left. None
        takes further calls at an address that its host's name does not lead to any more.
        """
        left = {way for way in {one.way for one in self._open} if not self._names.still_leads(*way)}
        if left:
            for connection in [one for one in self._open if one.way in left]:
                connection.leave()
        for idle in self._idle.values():
            for connection in [one for one in idle if one.swept]:
                idle.remove(connection)
                connection.close()
            for connection in idle:
                connection.swept = True
        self._sweeper = asyncio.get_running_loop().call_later(IDLE_SWEEP_S, self._sweep) if self._open else None

    async def open(self, call: Call) -> H1Response:
        """The response once its head is here (streams) or it is whole (unary)."""
        key = (call.base_url, call.path, call.headers)
        head = self._heads.get(key) or self._head(key, call)
        head += b"%b\r\ncontent-length: %d\r\n\r\n" % (call.request_id.encode("latin-1"), len(call.body))
        idle = self._idle.get(call.base_url)
        if idle is None:
            idle = self._idle[call.base_url] = []
        while True:
            reused = bool(idle)
            connection = idle.pop() if idle else await self._connect(call.base_url, idle, call.connect_timeout_s)
            if connection.lost or connection.transport is None or connection.transport.is_closing():
                continue
            connection.start(head, call.body, whole=not call.stream)
            if await self._answered(connection):
                return H1Response(connection)
            if reused and not connection.answered:
                continue  # the engine had closed this idle connection: it never saw the request
            raise EngineUnavailable(f"connection broke before the answer: {connection.failure}")

    @staticmethod
    async def _answered(connection: EngineConnection) -> bool:
        try:
            while not (connection.complete or (connection.status and not connection.whole)):
                if connection.lost or connection.failure:
                    return False
                await connection.wait()
        except BaseException:
            connection.drop("caller left")
            raise
        return True

    async def aclose(self) -> None:
        """Afterwards no idle connection is left."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for idle in self._idle.values():
            for connection in list(idle):
                connection.close()
            idle.clear()
