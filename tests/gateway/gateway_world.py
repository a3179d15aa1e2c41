"""A whole gateway in one process, between a caller and upstreams that do as they are told; time jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import orjson

from controller.config.load import load_settings
from controller.config.settings import Settings
from controller.core.secret import Secret
from controller.gateway.app import Gateway
from controller.gateway.ports import UpstreamCall
from tests.gateway.gateway_builders import (
    HELLO,
    KEY,
    SECRET,
    MemoryClaims,
    MemoryKeys,
    MemoryLedger,
    MemoryLimits,
    SetFleet,
    fleet,
    replica,
)
from tests.gateway.jumping_loop import jumping

SETTINGS = load_settings(None, {}, today=date(2026, 11, 1))
BEARER = (b"authorization", f"Bearer sp-{KEY.public_id}-{SECRET}".encode())
CHAT = "/v1/chat/completions"
COMPLETION = (
    b'{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}'
)
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


@dataclass(kw_only=True)
class Answer:
    """What an upstream does with one call: pieces are bytes to give, seconds to wait, or an error to raise."""

    pieces: Sequence[bytes | float | Exception]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    head_after_s: float = 0.0
    closed: list[bool] = field(default_factory=list)
    hung_up: int = 0

    async def read(self) -> bytes:
        """The next piece."""
        while self.pieces:
            piece, *self.pieces = self.pieces
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                return piece
            await asyncio.sleep(piece)
        return b""

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Piece by piece, until it has enough."""
        while chunk := await self.read():
            if not take(chunk):
                return True
        return False

    def hang_up(self) -> None:
        """Counts; nothing is closed yet."""
        self.hung_up += not self.closed

    async def close(self, *, finished: bool = False) -> None:
        """Remembers how."""
        self.closed.append(finished)


def whole(body: bytes = COMPLETION, **changes: Any) -> Answer:
    """A unary answer."""
    return Answer(pieces=[body], **changes)


def stream(*pieces: bytes | float | Exception, **changes: Any) -> Answer:
    """An event stream."""
    return Answer(pieces=pieces, headers={"content-type": "text/event-stream"}, **changes)


@dataclass
class ScriptedUpstream:
    """Answers calls in order; an exception is raised."""

    script: list[Answer | Exception] = field(default_factory=list)
    calls: list[UpstreamCall] = field(default_factory=list)

    async def open(self, call: UpstreamCall) -> Answer:
        """The next answer of the script."""
        self.calls.append(call)
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        await asyncio.sleep(step.head_after_s)
        return step

    async def aclose(self) -> None:
        """Nothing is open."""


class LoopClock:
    """The loop's time."""

    def monotonic_s(self) -> float:
        """Seconds that jump with the loop."""
        return asyncio.get_running_loop().time()

    def unix_s(self) -> float:
        """A date of 2026."""
        return 1_790_000_000.0 + self.monotonic_s()


@dataclass(kw_only=True)
class Heard:
    """What the caller heard. `ended` False: the answer was cut."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    took_s: float = 0.0

    @property
    def error(self) -> dict[str, object]:
        """The error in the body."""
        return dict(orjson.loads(self.body)["error"])


@dataclass
class SpokenLine:
    """A caller's end: gives its body after a while, hears the answer, leaves when it is told to."""

    heard: Heard
    method: bytes
    path: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    body_after_s: float
    gone: bool = False
    on_gone: Callable[[], None] | None = None

    def whole_body(self) -> bytes | None:
        """All of it, unless it takes a while to come."""
        if self.body_after_s:
            return None
        return self.body

    async def more(self) -> bytes | None:
        """The body in one piece, once."""
        await asyncio.sleep(self.body_after_s)
        body, self.body, self.body_after_s = self.body, b"", 0.0
        return None if self.gone else body

    def leave(self) -> None:
        """Closes the connection."""
        self.gone = True
        if self.on_gone is not None:
            self.on_gone()

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Hears the head, once."""
        assert self.heard.status == 0, "two heads"
        self.heard.status = status
        self.heard.headers = {name.decode(): value.decode() for name, value in headers}

    def write(self, body: bytes, *, more: bool) -> bool:
        """Hears a part of the body."""
        assert self.heard.status, "a body without a head"
        assert not self.heard.ended, "bytes after the end"
        self.heard.body += body
        self.heard.ended = not more
        return True

    async def writable(self) -> None:
        """Always."""


@dataclass
class World:
    """One ready replica of llama-8b, providers with keys, and the books."""

    settings: Settings = SETTINGS
    own: ScriptedUpstream = field(default_factory=ScriptedUpstream)
    external: ScriptedUpstream = field(default_factory=ScriptedUpstream)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    limits: MemoryLimits = field(default_factory=MemoryLimits)
    claims: MemoryClaims = field(default_factory=MemoryClaims)
    feed: SetFleet = field(default_factory=lambda: SetFleet(fleet(replica("r1"))))
    engine_key: Secret | None = None
    provider_keys: Mapping[str, Sequence[Secret]] = field(
        default_factory=lambda: {name: (Secret(f"sk-{name}"),) for name in SETTINGS.providers}
    )
    gateway: Gateway = field(init=False)

    def __post_init__(self) -> None:
        """The gateway with its ports."""
        self.gateway = Gateway(
            self.settings,
            keys=self.keys,
            ledger=self.ledger,
            limits=self.limits,
            claims=self.claims,
            fleet=self.feed,
            own=self.own,
            external=self.external,
            provider_keys=self.provider_keys,
            usable_providers=frozenset(self.settings.providers),
            clock=LoopClock(),
            engine_key=self.engine_key,
        )

    async def ask(self, fields: object = None, *, body: bytes | None = None, **options: Any) -> Heard:
        """One chat request to llama-8b, unless told otherwise."""
        document = {**HELLO, "model": "llama-8b", **(fields if isinstance(fields, dict) else {})}
        return await self.send(orjson.dumps(document) if body is None else body, **options)

    async def send(
        self,
        body: bytes,
        *,
        path: str = CHAT,
        method: str = "POST",
        headers: Sequence[tuple[bytes, bytes]] = (BEARER,),
        body_after_s: float = 0.0,
        leaves_after_s: float = 1e6,
    ) -> Heard:
        """One request; the caller leaves after so many seconds."""
        heard, loop = Heard(), asyncio.get_running_loop()
        began_s = loop.time()
        line = SpokenLine(heard, method.encode(), path.encode(), list(headers), body, body_after_s)
        leaving = loop.call_later(leaves_after_s, line.leave)
        try:
            await self.gateway(line)
        finally:
            leaving.cancel()
        heard.took_s = loop.time() - began_s
        return heard

    def heard(self, fields: object = None, **options: Any) -> Heard:
        """The same, run to its end."""
        return jumping(self.ask(fields, **options))


def with_gateway(**changes: Any) -> Settings:
    """The settings with other gateway settings."""
    return replace(SETTINGS, gateway=replace(SETTINGS.gateway, **changes))
