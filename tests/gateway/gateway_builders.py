"""Small worlds for the gateway tests: requests as decoded, exchanges under way, and ports that only remember."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from controller.config.settings import Caps
from controller.core.fleet import FleetView, PoolView, Replica, ReplicaState
from controller.core.idempotency import Claim, ClaimsUnavailable
from controller.core.keys import KeyRecord, key_digest
from controller.core.ledger import Backlog, LedgerEntry, Reservation, Verdict
from controller.core.models import Capability, Dialect, Model, Provider
from controller.core.rate_limits import Amounts, LimitMove, LimitRow, LimitsUnavailable
from controller.core.requests import Operation, Target
from controller.gateway.decode import Decoded, decode
from controller.gateway.destinations import Destinations
from controller.gateway.dialects.openai_caller import OPENAI_CALLER
from controller.gateway.exchange import Exchange
from controller.gateway.ports import UpstreamCall
from controller.routing.classify import classify
from controller.routing.rate_limit import granted
from controller.telemetry.gateway_metrics import GatewayMetrics
from tests.routing.builders import model, pool, provider

HELLO: dict[str, object] = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}
GPT = model("gpt-4o")
CLAUDE = model("claude-now", "anthropic")
LLAMA = model("llama-8b-self", "self-hosted", frozenset({Capability.TEXT}))
POOL = pool("llama-8b", "llama-8b-self", spill_to=("gpt-4o",))
OPENAI = provider("openai")
ANTHROPIC = provider("anthropic", Dialect.ANTHROPIC)
OWN = Target(model=LLAMA, pool=POOL, provider=None, reason="rule: simple")
BOUGHT = Target(model=GPT, pool=None, provider=OPENAI, reason="fallback of llama-8b-self")
PEPPER = b"p" * 32
SECRET = "s3cret"
KEY = KeyRecord(public_id="abc", tenant="acme", name="app", digest=key_digest(PEPPER, SECRET), created_at_s=0.0)


@dataclass
class SetClock:
    """Time that stands still until a test moves it."""

    now_s: float = 1000.0

    def monotonic_s(self) -> float:
        """The time set."""
        return self.now_s

    def unix_s(self) -> float:
        """The same, as a date of 2026."""
        return 1_790_000_000.0 + self.now_s


@dataclass
class MemoryLedger:
    """Keeps what it is told; refuses reservations above what is left."""

    left_nanousd: int = 10**12
    answers: bool = True
    hour_spent: str = ""  # this pool's
    reserved: dict[str, int] = field(default_factory=dict)
    wishes: list[Reservation] = field(default_factory=list)
    posted: list[LedgerEntry] = field(default_factory=list)
    voided: list[str] = field(default_factory=list)

    async def reserve(self, wish: Reservation) -> Verdict:
        """Sets money aside while there is enough."""
        self.wishes.append(wish)
        if not self.answers:
            return Verdict.UNAVAILABLE
        if wish.amount_nanousd > self.left_nanousd:
            return Verdict.DAY_SPENT
        if wish.home_pool is not None and wish.home_pool == self.hour_spent:
            return Verdict.POOL_HOUR_SPENT
        self.reserved[wish.request_id] = wish.amount_nanousd
        return Verdict.GRANTED

    def post(self, entry: LedgerEntry) -> None:
        """Writes it down."""
        self.posted.append(entry)
        self.reserved.pop(entry.request_id, None)

    def void(self, request_id: str) -> None:
        """Gives it back."""
        self.voided.append(request_id)
        self.reserved.pop(request_id, None)

    def backlog(self) -> Backlog:
        """Nothing ever waits."""
        return Backlog()


@dataclass
class MemoryKeys:
    """A key store of one key, unless told otherwise."""

    records: Mapping[str, KeyRecord] = field(default_factory=lambda: {KEY.public_id: KEY})
    pepper: bytes = PEPPER
    revision: int = 1

    def pepper_of(self, record: KeyRecord) -> bytes:
        """There is only one."""
        return self.pepper

    def lookup(self, public_id: str) -> KeyRecord | None:
        """The record, revoked or not."""
        return self.records.get(public_id)


@dataclass
class MemoryLimits:
    """Rows of limits in memory, for any number of gateways; `down`: out of reach."""

    rows: dict[tuple[str, int], Amounts] = field(default_factory=dict)
    moves: list[LimitMove] = field(default_factory=list)
    down: bool = False

    async def move(self, moves: Sequence[LimitMove]) -> Sequence[LimitRow]:
        """As the database does."""
        await asyncio.sleep(0.001)
        if self.down:
            raise LimitsUnavailable("down")
        self.moves += moves
        return [self._moved(move) for move in moves]

    def _moved(self, move: LimitMove) -> LimitRow:
        row = self.rows.get((move.tenant, move.minute), Amounts())
        got = Amounts(
            requests=granted(move.requests_limit, row.requests, move.wish.requests),
            tokens=granted(move.tokens_limit, row.tokens, move.wish.tokens),
        )
        row = Amounts(requests=row.requests + got.requests, tokens=row.tokens + got.tokens)
        self.rows[move.tenant, move.minute] = row
        return LimitRow(got=got, granted=row)


@dataclass
class SetFleet:
    """A feed whose view is set by the test."""

    now: FleetView = field(default_factory=FleetView)

    def view(self) -> FleetView:
        """The view set."""
        return self.now


class NoUpstream:
    """An upstream that must not be called."""

    async def open(self, call: UpstreamCall) -> object:
        """Fails the test."""
        raise AssertionError(f"called: {call}")

    async def aclose(self) -> None:
        """Nothing is open."""


def destinations(metrics: GatewayMetrics | None = None) -> Destinations:
    """Where calls would go."""
    nowhere: Any = NoUpstream()  # it has no answers
    return Destinations(own=nowhere, external=nowhere, metrics=metrics or GatewayMetrics())


def replica(replica_id: str, state: ReplicaState = ReplicaState.READY, **changes: object) -> Replica:
    """A replica of POOL."""
    made = Replica(
        replica_id=replica_id, pool=POOL.name, url=f"http://{replica_id}:8000", state=state, started_at_s=0.0
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def fleet(*replicas: Replica) -> FleetView:
    """A view in which POOL has these replicas."""
    return FleetView(revision=1, pools={POOL.name: PoolView(name=POOL.name, replicas=replicas)})


def decoded(
    operation: Operation = Operation.CHAT, headers: Mapping[bytes, bytes] | None = None, **fields: object
) -> Decoded:
    """A request as the gateway decodes it; fields that are None are left out."""
    base = HELLO if operation is Operation.CHAT else {"model": "auto"}
    document = {name: value for name, value in {**base, **fields}.items() if value is not None}
    return decode(operation, dict(headers or {}), orjson.dumps(document), "acme", Caps())


def exchange(*, plan: Sequence[Target] = (OWN, BOUGHT), target: Target | None = None, **fields: object) -> Exchange:
    """A request that has been classified and planned."""
    made = Exchange(
        request_id="req-1",
        header_id=b"req-1",
        accepted_s=1000.0,
        at_s=5.0,
        operation=Operation.CHAT,
        caller=OPENAI_CALLER,
    )
    made.key = KEY
    made.decoded = decoded(**fields)
    made.profile = classify(made.decoded.facts)
    made.classified = True
    made.chain = tuple(plan)
    if plan:
        made.planned(made.chain)
    made.target = target
    return made


def chat_model(**changes: object) -> Model:
    """GPT with changes."""
    return replace(GPT, **changes)  # type: ignore[arg-type]


def named(name: str, **changes: object) -> Provider:
    """A provider with changes."""
    return replace(provider(name), **changes)  # type: ignore[arg-type]


@dataclass
class MemoryClaims:
    """Claims on keys in memory, for any number of gateways; `down`: out of reach."""

    rows: dict[bytes, tuple[bytes, bytes, bool, float]] = field(
        default_factory=dict
    )  # digest, nonce, finished, expires
    down: bool = False

    async def claim(self, key: bytes, digest: bytes, nonce: bytes, *, now_s: float, expires_at_s: float) -> Claim:
        """As the database does, for gateways that are all others to each other."""
        await self._answer()
        held = self.rows.get(key)
        if held is not None and held[3] > now_s:
            return Claim.REUSED if held[0] != digest else Claim.ANSWERED if held[2] else Claim.TAKEN
        self.rows[key] = digest, nonce, False, expires_at_s
        return Claim.GRANTED

    async def finish(self, key: bytes, nonce: bytes, *, expires_at_s: float) -> None:
        """It was answered."""
        await self._answer()
        digest, held, _, _ = self.rows[key]
        assert held == nonce
        self.rows[key] = digest, nonce, True, expires_at_s

    async def release(self, key: bytes, nonce: bytes) -> None:
        """It was not."""
        await self._answer()
        if self.rows[key][1] == nonce:
            del self.rows[key]

    async def _answer(self) -> None:
        await asyncio.sleep(0.001)
        if self.down:
            raise ClaimsUnavailable("down")
