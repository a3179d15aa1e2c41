"""HTTPS client for external providers: TLS, HTTP/2, proxies and redirects are a library's business (reqwest).

The same contract as `h1_upstream`: `gateway.ports.Upstream`. Redirects are not followed, since they would carry a
provider's key elsewhere, and nothing is retried here, since `routing.attempts` decides that. Deadlines on the answer
are the caller's. A call cancelled before its head has come ends at the provider no sooner than that: a limit of the
library, which costs a whole answer its price.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectTimeoutError, DetailedPyreqwestError, PyreqwestError, RequestTimeoutError
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from controller.core.errors import EngineUnavailable, UpstreamTimeout

MAX_UNARY_BYTES = 64 * 1024 * 1024
# reqwest's reader gives nothing away before so many bytes have come. A stream gets each piece as it comes, and a slow
# caller stops the provider's socket after one more.
UNARY_BUFFER_BYTES = 64 * 1024
STREAM_BUFFER_BYTES = 0
READ_TIMEOUT_S = 600.0  # a backstop; the gateway's own idle limit is far below
IDLE_S = 30.0  # providers close idle connections after a minute or so
IDLE_PER_HOST = 256
PING_S = 20.0
FINISH_S = 0.5  # how long an answer that was read to its end marker may take to end on the wire
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Result = TypeVar("Result")


class Call(Protocol):
    """The fields of `gateway.ports.UpstreamCall` that are used here."""

    base_url: str
    path: str
    headers: tuple[tuple[str, str], ...]
    request_id: str
    body: bytes
    stream: bool
    connect_timeout_s: float


def _words(error: PyreqwestError) -> str:
    """The innermost cause: the outer messages only say that sending failed."""
    causes = error.details.get("causes") if isinstance(error, DetailedPyreqwestError) else None
    return causes[-1]["message"] if causes else error.message


@contextmanager
def _translated(connect_timeout_s: float) -> Generator[None, None, None]:
    try:
        yield
    except ConnectTimeoutError as error:
        raise UpstreamTimeout("connect", connect_timeout_s) from error
    except RequestTimeoutError as error:
        raise UpstreamTimeout("idle", READ_TIMEOUT_S) from error
    except PyreqwestError as error:
        raise EngineUnavailable(f"connection broke: {_words(error)}") from error


async def _cancellable(awaitable: Awaitable[Result]) -> Result:
    """Its result; the library's coroutines swallow a cancellation that comes together with it, so it is looked for."""
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    result = await awaitable
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


class ReqwestResponse:
    """An answer of `ReqwestUpstream`."""

    __slots__ = ("_chunk", "_closed", "_complete", "_request", "_response", "_timeout_s", "headers", "status")

    def __init__(self, request: StreamRequest, response: Response, connect_timeout_s: float) -> None:
        self._request = request
        self._response = response
        self._timeout_s = connect_timeout_s
        self._chunk = b""
        self._complete = False
        self._closed = False
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def read(self) -> bytes:
        """The next bytes, empty at the end."""
        if self._chunk:
            chunk, self._chunk = self._chunk, b""
            return chunk
        while not self._complete:
            with _translated(self._timeout_s):
                data = await _cancellable(self._response.body_reader.read_chunk())
            if data is None:
                self._complete = True
            elif data:
                return bytes(data)
        return b""

    async def fill(self) -> None:
        """Afterwards the whole body is here and the connection is free."""
        chunks: list[bytes] = []
        size_bytes = 0
        while chunk := await self.read():
            chunks.append(chunk)
            size_bytes += len(chunk)
            if size_bytes > MAX_UNARY_BYTES:
                raise EngineUnavailable("answer too large")
        self._chunk = b"".join(chunks)

    async def close(self, *, finished: bool = False) -> None:
        """Keep the connection when the answer is whole (or `finished`: its end marker was read), else cut it."""
        if self._closed:
            return
        self._closed = True
        try:
            if finished and not self._complete:
                async with asyncio.timeout(FINISH_S):
                    while await self.read():
                        pass
        except (TimeoutError, EngineUnavailable, UpstreamTimeout):
            pass  # the answer did not end in time: the connection is cut below
        finally:
            await self._request.__aexit__(None, None, None)


class ReqwestUpstream:
    """Calls to external providers. `root_certificate_pem`: one more authority to trust, besides the system's."""

    def __init__(self, *, root_certificate_pem: bytes | None = None) -> None:
        self._clients: dict[tuple[float, bool], Client] = {}
        self._root = root_certificate_pem

    def _client(self, base_url: str, connect_timeout_s: float) -> tuple[Client, float]:
        """reqwest sets the connect time limit per client: one client for each tenth of a second in use."""
        timeout_s = max(1, math.ceil(connect_timeout_s * 10)) / 10
        is_local = urlsplit(base_url).hostname in _LOOPBACK  # a proxy cannot reach the stand-in provider
        client = self._clients.get((timeout_s, is_local))
        if client is None:
            client = self._clients[timeout_s, is_local] = self._build(timeout_s, is_local=is_local)
        return client, timeout_s

    def _build(self, timeout_s: float, *, is_local: bool) -> Client:
        builder = (
            ClientBuilder()
            .connect_timeout(timedelta(seconds=timeout_s))
            .read_timeout(timedelta(seconds=READ_TIMEOUT_S))
            .follow_redirects(False)
            .error_for_status(False)
            .referer(False)
            .http2(True)
            .http2_keep_alive_interval(timedelta(seconds=PING_S))
            .http2_keep_alive_timeout(timedelta(seconds=PING_S / 2))
            .pool_idle_timeout(timedelta(seconds=IDLE_S))
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .user_agent("spillway")
        )
        for decode in (builder.gzip, builder.brotli, builder.zstd, builder.deflate):
            decode(False)  # compressed streams arrive late and in lumps
        if is_local:
            builder = builder.no_proxy()
        if self._root is not None:
            builder = builder.add_root_certificate_pem(self._root)
        return builder.build()

    async def open(self, call: Call) -> ReqwestResponse:
        """The response once its head is here (streams) or it is whole (unary)."""
        client, timeout_s = self._client(call.base_url, call.connect_timeout_s)
        with _translated(timeout_s):
            request = (
                client.post(call.base_url.rstrip("/") + call.path)
                .headers([*call.headers, ("x-request-id", call.request_id)])
                .body_bytes(call.body)
                .streamed_read_buffer_limit(STREAM_BUFFER_BYTES if call.stream else UNARY_BUFFER_BYTES)
                .build_streamed()
            )
            try:
                answer = await _cancellable(request.__aenter__())
            except asyncio.CancelledError:  # the answer may have begun all the same
                with suppress(RuntimeError):
                    await request.__aexit__(None, None, None)
                raise
        response = ReqwestResponse(request, answer, timeout_s)
        if not call.stream:
            try:
                await response.fill()
            except BaseException:
                await response.close()
                raise
        return response

    async def aclose(self) -> None:
        """Afterwards no idle connection is left."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.close()
