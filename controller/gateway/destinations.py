"""What a call to one target always needs, worked out once: address, credentials, counters, headers, price."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.core.errors import EngineUnavailable
from controller.core.models import Dialect, Feature, Model, Provider
from controller.core.money import Price, Usage, cost_nanousd
from controller.core.requests import Operation, Target
from controller.core.secret import Secret
from controller.gateway import anthropic_wire, openai_wire
from controller.gateway.answers import Headers, header_text
from controller.gateway.anthropic_stream import AnthropicStream, message_of
from controller.gateway.anthropic_stream import read_unary as read_anthropic
from controller.gateway.decode import Decoded
from controller.gateway.dialects import count_tokens, messages_native
from controller.gateway.dialects.caller import Caller
from controller.gateway.dialects.messages_native import MessagesRelay
from controller.gateway.dialects.translated_stream import TranslatedStream
from controller.gateway.media import check_parts
from controller.gateway.openai_wire import OpenAIStream
from controller.gateway.ports import Upstream
from controller.gateway.resumable_stream import ResumableStream
from controller.telemetry.gateway_metrics import GatewayMetrics, TargetMetrics

Stream = OpenAIStream | AnthropicStream | MessagesRelay | ResumableStream | TranslatedStream
OWN_PREFIX = "/v1"
SIMULATED = "simulated"
_ROLE_TOKENS = 16  # what a chat template adds per message, generously


class TokenPrice:
    """A price list as whole nano-USD per token: integer arithmetic in the hot path, exact like `cost_nanousd`."""

    __slots__ = ("_cached", "_fresh", "_output", "_price")

    def __init__(self, price: Price) -> None:
        amounts = (price.usd_per_mtok_in, price.usd_per_mtok_cached_in, price.usd_per_mtok_out)
        whole = all((amount * 1000) % 1 == 0 for amount in amounts)
        self._price = None if whole else price
        self._fresh, self._cached, self._output = (int(amount * 1000) for amount in amounts)

    def cost(self, usage: Usage) -> int:
        """Nano-USD for these tokens."""
        if self._price is not None:
            return cost_nanousd(self._price, usage)
        cached = min(usage.cached_input_tokens, usage.input_tokens)
        return self._fresh * (usage.input_tokens - cached) + self._cached * cached + self._output * usage.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One target for one operation."""

    model: Model
    provider: Provider | None
    upstream: Upstream
    base_url: str | None  # None: that of the replica
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)  # of own engines with their key
    is_own: bool
    is_anthropic: bool
    simulated: bool
    metrics: TargetMetrics
    price: TokenPrice
    labels: tuple[tuple[bytes, bytes], ...]
    refuses: frozenset[Feature] = frozenset()
    media_hosts: frozenset[str] = frozenset()  # that own engines may fetch from

    def headers_with(self, secret: Secret) -> tuple[tuple[str, str], ...]:
        """With a provider's key, which goes to that provider's configured address and nowhere else."""
        key = SIMULATED if self.simulated else secret.reveal()
        named = ("x-api-key", key) if self.is_anthropic else ("authorization", f"Bearer {key}")
        return (*self.headers, named)

    def body(self, decoded: Decoded, temperature: float | None) -> bytes:
        """The request in this target's words; NotTranslatable when it has none for it."""
        if decoded.operation is Operation.COUNT_TOKENS:
            return count_tokens.request_body(decoded, self.model, is_own=self.is_own, is_anthropic=self.is_anthropic)
        wanted = temperature if self.model.accepts_temperature else None
        if self.is_anthropic:
            if decoded.native is not None:
                return messages_native.request_body(decoded, decoded.native, self.model, temperature=wanted)
            return anthropic_wire.request_body(decoded, self.model, temperature=wanted, refuses=self.refuses)
        if decoded.part_kinds:
            check_parts(decoded.document, decoded.part_kinds, self.media_hosts, is_own=self.is_own)
        return openai_wire.request_body(
            decoded, self.model, is_own=self.is_own, temperature=wanted, refuses=self.refuses
        )

    def dropped(self, decoded: Decoded) -> list[str]:
        """Fields of the request that this target does not get."""
        if self.is_anthropic and decoded.native is not None:
            return messages_native.dropped(decoded.native, self.model)
        names = (
            anthropic_wire.dropped(decoded.document, self.model)
            if self.is_anthropic
            else openai_wire.dropped(decoded.document, self.model, is_own=self.is_own)
        )
        return [*decoded.dropped, *names] if decoded.dropped else names

    def resumable(self, decoded: Decoded) -> ResumableStream:
        """What reads its event streams and remembers their token ids."""
        return ResumableStream(OpenAIStream(wants_usage=decoded.wants_usage), decoded.operation)

    def stream(self, decoded: Decoded, caller: Caller, created_s: int, source: ResumableStream | None = None) -> Stream:
        """What reads its event streams, or `source` that does, and says them in the caller's words."""
        if self.is_anthropic and caller.dialect is Dialect.ANTHROPIC:
            return MessagesRelay()
        inner: OpenAIStream | AnthropicStream | ResumableStream
        inner = OpenAIStream(wants_usage=decoded.wants_usage) if source is None else source
        if self.is_anthropic:
            inner = AnthropicStream(wants_usage=decoded.wants_usage, created_s=created_s)
        writer = caller.writer(decoded, created_s)
        return inner if writer is None else TranslatedStream(inner, writer)

    def read_unary(self, body: bytes, decoded: Decoded, caller: Caller, created_s: int) -> tuple[bytes, Usage | None]:
        """The answer in the caller's words, and its usage; EngineUnavailable when a 200 holds none."""
        try:
            return self._read_unary(body, decoded, caller, created_s)
        except openai_wire.MISSHAPEN as error:
            raise EngineUnavailable("answered 200 with something that is not an answer") from error

    def _read_unary(self, body: bytes, decoded: Decoded, caller: Caller, created_s: int) -> tuple[bytes, Usage | None]:
        if decoded.operation is Operation.COUNT_TOKENS:
            return count_tokens.read(body, is_anthropic=self.is_anthropic), count_tokens.NO_USAGE
        if not self.is_anthropic:
            chat, usage = openai_wire.read_unary(body, decoded.operation)
            return caller.answer(chat, decoded), usage
        if caller.dialect is Dialect.ANTHROPIC:
            return body, anthropic_wire.usage_of(message_of(body).get("usage"))
        chat, usage = read_anthropic(body, created_s)
        return caller.answer(chat, decoded), usage

    def most_nanousd(self, decoded: Decoded) -> int:
        """The most that one call can cost: a token per byte, and as many out as asked for or as the model can write."""
        facts = decoded.facts
        if decoded.operation is Operation.COUNT_TOKENS:
            return 0
        input_tokens = facts.text_bytes + facts.message_count * _ROLE_TOKENS + facts.image_count * 2000
        output_tokens = 0
        if decoded.operation is not Operation.EMBEDDINGS:
            limit = anthropic_wire.DEFAULT_MAX_TOKENS if self.is_anthropic else self.model.max_output_tokens
            output_tokens = (facts.max_tokens or min(limit, self.model.max_output_tokens)) * decoded.n
        return self.price.cost(Usage(input_tokens=input_tokens, output_tokens=output_tokens))


def _path(operation: Operation, *, is_own: bool, is_anthropic: bool) -> str:
    """Below the address of a provider, which has the version in it, or of a replica, which has not."""
    if operation is Operation.COUNT_TOKENS:
        return count_tokens.ANTHROPIC_PATH if is_anthropic else count_tokens.OWN_PATH
    path = anthropic_wire.PATH if is_anthropic else openai_wire.PATHS[operation]
    return OWN_PREFIX + path if is_own else path


class Destinations:
    """All targets in use, by model and operation; bounded by the catalogue."""

    def __init__(
        self,
        *,
        own: Upstream,
        external: Upstream,
        metrics: GatewayMetrics,
        engine_key: Secret | None = None,
        media_hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._engine_key = engine_key
        self._media_hosts = media_hosts
        self._own = own
        self._external = external
        self._metrics = metrics
        self._known: dict[tuple[str, Operation], Destination] = {}

    def of(self, target: Target, operation: Operation) -> Destination:
        """The destination; made on first use."""
        found = self._known.get((target.model.key, operation))
        if found is None or found.model is not target.model or found.provider is not target.provider:
            found = self._known[target.model.key, operation] = self._make(target, operation)
        return found

    def reconfigure(self, media_hosts: frozenset[str]) -> None:
        """Own engines may fetch from these from now on. A model or provider that changes is another object (`of`)."""
        self._media_hosts = media_hosts
        self._known.clear()

    def _make(self, target: Target, operation: Operation) -> Destination:
        provider = target.provider
        is_anthropic = provider is not None and provider.dialect is Dialect.ANTHROPIC
        path = _path(operation, is_own=provider is None, is_anthropic=is_anthropic)
        labels: Headers = [
            (b"x-spillway-model", header_text(target.model.key)),
            (b"x-spillway-target", header_text(target.name)),
        ]
        simulated = provider is not None and provider.simulated
        return Destination(
            model=target.model,
            provider=provider,
            upstream=self._own if provider is None else self._external,
            base_url=None if provider is None else provider.base_url,
            path=path,
            headers=(("content-type", "application/json"), *self._fixed_headers(target)),
            is_own=provider is None,
            is_anthropic=is_anthropic,
            simulated=simulated,
            metrics=self._metrics.target(target.name, is_own=provider is None),
            price=TokenPrice(target.model.price),
            labels=tuple(labels),
            media_hosts=self._media_hosts,
            refuses=target.model.refuses if provider is None else target.model.refuses | provider.refuses,
        )

    def _fixed_headers(self, target: Target) -> tuple[tuple[str, str], ...]:
        """What all calls there carry: the engines' key for own ones; a provider's is added to each call."""
        if target.provider is None:
            return () if self._engine_key is None else (("authorization", f"Bearer {self._engine_key.reveal()}"),)
        is_anthropic = target.provider.dialect is Dialect.ANTHROPIC
        return (("anthropic-version", anthropic_wire.VERSION),) if is_anthropic else ()
