"""HTTPS client for external providers: TLS is a library's business (aiohttp).

The same contract as `h1_upstream`: `gateway.ports.Upstream`. Redirects are not followed, nor are proxies of the
environment asked: either would carry a provider's key where no `EgressResolver` looks. Nothing is retried here, since
`routing.attempts` decides that. A call that is cancelled ends at the provider at once, before its head too. Deadlines
on the answer are the caller's.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import aiohttp
import structlog
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from controller.adapters.egress_resolver import EgressResolver, NotAllowed
from controller.adapters.name_lookup import NameLookup
from controller.adapters.upstream_call import Call
from controller.config.settings import CAPS
from controller.core.errors import EngineUnavailable, UpstreamTimeout

log = structlog.get_logger()

MAX_UNARY_BYTES = CAPS.answer_bytes
BUFFER_BYTES = 64 * 1024  # the socket is paused at twice this, until the caller has taken some
AT_ONCE_BYTES = 1024 * 1024  # a longer body is written in pieces
IDLE_S = 30.0  # providers close idle connections after a minute or so
FINISH_S = 0.5  # how long an answer that was read to its end marker may take to end on the wire
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_OURS = ("Accept", "Accept-Encoding")  # compressed streams arrive late and in lumps


class NotTrusted(EngineUnavailable):
    """No authority that is trusted for a server has signed its certificate, or it is not for that name or time."""

    def __init__(self, host: str, port: int | None, error: Exception) -> None:
        self.problem = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
        self.server = f"{host}:{port}"
        super().__init__(f"the certificate of {self.server} is not trusted: {self.problem}")


@contextmanager
def _translated(connect_timeout_s: float) -> Generator[None, None, None]:
    try:
        yield
    except aiohttp.ServerTimeoutError as error:
        raise UpstreamTimeout("connect", connect_timeout_s) from error
    except NotAllowed as error:
        raise EngineUnavailable(str(error)) from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise NotTrusted(error.host, error.port, error.certificate_error) from error
    except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
        words = str(error) or type(error).__name__
        raise EngineUnavailable(f"connection broke: {words}") from error


class AiohttpResponse:
    """An answer of `AiohttpUpstream`."""

    __slots__ = ("_chunk", "_complete", "_response", "_timeout_s", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, connect_timeout_s: float) -> None:
        self._response = response
        self._timeout_s = connect_timeout_s
        self._chunk = b""
        self._complete = False
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def read(self) -> bytes:
        """The next bytes, empty at the end."""
        if self._chunk:
            chunk, self._chunk = self._chunk, b""
            return chunk
        if self._complete:
            return b""
        with _translated(self._timeout_s):
            data = await self._response.content.readany()
        self._complete = not data
        return data

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Gives `take` each piece as it comes; False at the end of the body, True when `take` wants no more for now."""
        while chunk := await self.read():
            if not take(chunk):
                return True
        return False

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

    def hang_up(self) -> None:
        """The provider hears that nobody listens; `close` still follows."""
        self._response.close()

    async def close(self, *, finished: bool = False) -> None:
        """Keep the connection when the answer is whole (or `finished`: its end marker was read), else cut it."""
        try:
            if finished and not self._complete:
                async with asyncio.timeout(FINISH_S):
                    while await self.read():
                        pass
        except (TimeoutError, EngineUnavailable, UpstreamTimeout):
            pass  # the answer did not end in time: the connection is cut below
        finally:
            self._response.close()  # a connection whose answer is whole went back when it was


class _Connector(aiohttp.TCPConnector):
    """Gives out no idle connection on which something came that nobody had asked for: it would pass for an answer.

    Nor one to an address that its name has left.
    """

    def __init__(self, names: NameLookup, resolver: EgressResolver, context: ssl.SSLContext) -> None:
        self._names = names
        super().__init__(  # `names` remembers, for longer than a cache may
            limit=0, keepalive_timeout=IDLE_S, use_dns_cache=False, ssl=context, resolver=resolver
        )

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while True:
            connection = await super()._get(key, traces)
            if connection is None or connection.protocol is None:
                return connection
            if not connection.protocol.should_close and self._still_leads(key, connection):
                return connection
            connection.close()

    def _still_leads(self, key: ConnectionKey, connection: Connection) -> bool:
        peer = None if key.proxy or connection.transport is None else connection.transport.get_extra_info("peername")
        return not peer or self._names.still_leads(key.host, peer[0])


def _context(ca_file: str | None = None) -> ssl.SSLContext:
    """Trusts the system's authorities, or those of SSL_CERT_FILE, and the one in the file."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


class AiohttpUpstream:
    """Calls to external providers. `private_hosts`: names that may lead to private addresses.

    `ca_files`: by base URL, files with an authority to trust there besides the system's.
    """

    def __init__(
        self, *, private_hosts: frozenset[str] = frozenset(), ca_files: Mapping[str, str] | None = None
    ) -> None:
        self._names = NameLookup()
        self._resolver = EgressResolver(private_hosts | _LOOPBACK, self._names)
        self._contexts = {url: _context(file) for url, file in (ca_files or {}).items()}
        self._not_trusted: set[str] = set()  # base URLs, until they are again
        self._session: aiohttp.ClientSession | None = None

    def reconfigure(self, *, private_hosts: frozenset[str], ca_files: Mapping[str, str]) -> None:
        """Calls from now on; those under way go on. OSError when a file with an authority cannot be used."""
        contexts = {url: _context(file) for url, file in ca_files.items()}
        self._resolver.private_hosts = private_hosts | _LOOPBACK
        self._contexts = contexts

    def _build(self) -> aiohttp.ClientSession:
        connector = _Connector(self._names, self._resolver, _context())
        return aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "spillway"},
            read_bufsize=BUFFER_BYTES,
            skip_auto_headers=_OURS,
            trust_env=False,  # a proxy, or a password of .netrc, that nobody configured here: neither is obeyed
        )

    async def open(self, call: Call) -> AiohttpResponse:
        """The response once its head is here (streams) or it is whole (unary)."""
        try:
            response = await self._open(call)
        except NotTrusted as error:
            if call.base_url not in self._not_trusted:
                self._not_trusted.add(call.base_url)
                log.error("provider_not_trusted", server=error.server, problem=error.problem)
            raise
        if self._not_trusted:
            self._not_trusted.discard(call.base_url)
        if not call.stream:
            try:
                await response.fill()
            except BaseException:
                await response.close()
                raise
        return response

    async def _open(self, call: Call) -> AiohttpResponse:
        timeout_s, session = call.connect_timeout_s, self._session
        if session is None:
            session = self._session = self._build()
        with _translated(timeout_s):
            answer = await session.post(
                call.base_url.rstrip("/") + call.path,
                data=call.body if len(call.body) <= AT_ONCE_BYTES else io.BytesIO(call.body),
                headers=[*call.headers, ("x-request-id", call.request_id)],
                allow_redirects=False,
                ssl=self._contexts.get(call.base_url, True),
                timeout=aiohttp.ClientTimeout(total=None, connect=timeout_s),
            )
        return AiohttpResponse(answer, timeout_s)

    async def aclose(self) -> None:
        """Afterwards no idle connection is left."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
