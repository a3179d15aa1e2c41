"""What the gateway needs from outside; adapters fit these structurally and `cli/wiring.py` joins the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.registry import Collector

from controller.core.fleet import FleetView
from controller.core.idempotency import Claim
from controller.core.keys import KeyRecord
from controller.core.ledger import Backlog, LedgerEntry, Reservation, Verdict
from controller.core.rate_limits import LimitMove, LimitRow


class Line(Protocol):
    """The caller's end of one request, as the server has it. `on_gone` is called once, when the caller leaves."""

    on_gone: Callable[[], None] | None

    @property
    def gone(self) -> bool:
        """The caller has left; what is written is dropped."""
        ...

    @property
    def method(self) -> bytes:
        """As it came."""
        ...

    @property
    def path(self) -> bytes:
        """As it came, without the query."""
        ...

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """By lower-case name."""
        ...

    def whole_body(self) -> bytes | None:
        """The body when all of it is here, else None."""
        ...

    async def more(self) -> bytes | None:
        """The next part of the body, empty at its end; None when the caller has left."""
        ...

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head of the answer."""
        ...

    def write(self, body: bytes, *, more: bool) -> bool:
        """Afterwards the bytes are on their way; False when the caller is slow: wait in `writable` before the next."""
        ...

    async def writable(self) -> None:
        """Returns when the caller has taken enough of what was written, or has left."""
        ...


@dataclass(slots=True, kw_only=True)
class UpstreamCall:
    """One POST. `base_url` is scheme://host[:port] with an optional path prefix.

    `headers` are those of every call to the destination; content-length and x-request-id come to them.
    """

    base_url: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)  # a key is among them
    request_id: str
    body: bytes = field(repr=False)
    stream: bool
    connect_timeout_s: float


class UpstreamResponse(Protocol):
    """An answer under way. Whoever got it closes it, on every path."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Header values by lower-case name."""
        ...

    async def read(self) -> bytes:
        """The next bytes of the body, empty at its proper end; EngineUnavailable when it was cut."""
        ...

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Gives `take` each piece as it comes; False at the end of the body, True when `take` wants no more for now."""
        ...

    def hang_up(self) -> None:
        """The upstream is told at once that nobody listens; `close` still follows, when its request comes to it."""
        ...

    async def close(self, *, finished: bool = False) -> None:
        """Afterwards the upstream knows that nobody listens; a whole or `finished` answer keeps its connection."""
        ...


class Upstream(Protocol):
    """Opens calls; raises EngineUnavailable or UpstreamTimeout(connect)."""

    async def open(self, call: UpstreamCall) -> UpstreamResponse:
        """The response once its head is here (streams), or once it is whole (unary)."""
        ...

    async def aclose(self) -> None:
        """Afterwards no idle connection is left."""
        ...


class Ledger(Protocol):
    """Money and accounts. `post` and `void` are memory only."""

    async def reserve(self, wish: Reservation) -> Verdict:
        """GRANTED: the amount is set aside, whatever becomes of this process. Answers within 50 ms."""
        ...

    def post(self, entry: LedgerEntry) -> None:
        """The request is written down and its reservation settled."""
        ...

    def void(self, request_id: str) -> None:
        """The reservation is given back."""
        ...

    def backlog(self) -> Backlog:
        """What is not written down yet."""
        ...


class KeyStore(Protocol):
    """API keys as the gateway sees them."""

    @property
    def pepper(self) -> bytes:
        """A secret of the installation, the same in all its gateways for ever."""
        ...

    @property
    def revision(self) -> int:
        """Grows with every key that is made or revoked."""
        ...

    def pepper_of(self, record: KeyRecord) -> bytes:
        """What the digest of the key is keyed with."""
        ...

    def lookup(self, public_id: str) -> KeyRecord | None:
        """The record, revoked or not."""
        ...


class LimitRows(Protocol):
    """Requests and tokens per minute, as all gateways together have them."""

    async def move(self, moves: Sequence[LimitMove]) -> Sequence[LimitRow]:
        """What became of each, in their order; LimitsUnavailable when that is not known."""
        ...


class IdempotencyClaims(Protocol):
    """Who answers the requests under which keys, of all gateways; ClaimsUnavailable when that is not known.

    `key` and `digest` are keyed digests of tenant and key, and of the request; `nonce` names one claim.
    """

    async def claim(self, key: bytes, digest: bytes, nonce: bytes, *, now_s: float, expires_at_s: float) -> Claim:
        """Whether it is ours to answer until then; one of ours that was not finished is taken anew."""
        ...

    async def finish(self, key: bytes, nonce: bytes, *, expires_at_s: float) -> None:
        """It was answered: nobody answers it again until then."""
        ...

    async def release(self, key: bytes, nonce: bytes) -> None:
        """It was not: the key is free."""
        ...


class FleetFeed(Protocol):
    """The newest published view of the fleet."""

    def view(self) -> FleetView:
        """A cheap attribute read; a new object only when something changed."""
        ...


class Reloads(Protocol):
    """Reads the configuration again, and hands it to the gateway, when there is another one."""

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
    """Time. `monotonic_s` for durations, `unix_s` for records."""

    def monotonic_s(self) -> float:
        """Seconds that never jump."""
        ...

    def unix_s(self) -> float:
        """Seconds since 1970."""
        ...
