"""The stand-in for external providers as an ASGI app: `/<provider>/v1/...` in the provider's own dialect."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from controller.core.models import Capability, Dialect, Model, Provider
from controller.core.money import Usage
from controller.engine_sim import answers, anthropic
from controller.engine_sim.asks import Ask, Refusal, parse_json, read_chat, read_completion, read_prompts
from controller.engine_sim.faults import Faults
from controller.engine_sim.jobs import EngineStopped, Job
from controller.engine_sim.limits import RateLimit
from controller.engine_sim.pacing import PromptCache, pace, start
from controller.engine_sim.streaming import Voice, relay
from controller.engine_sim.usage import UsageBook, job_usage
from controller.engine_sim.web import CallerLeft, Exchange, Receive, Scope, Send, lifespan

SIMULATED = (b"x-spillway-simulated", b"true")
_EMBEDDING_DIMENSIONS = 256
COUNT_TOKENS = "v1/messages/count_tokens"
_KINDS = {401: "invalid_request_error", 404: "invalid_request_error", 429: "requests", 500: "server_error"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Account:
    """One provider as this process plays it."""

    provider: Provider
    models: Mapping[str, Model]  # by model id
    limit: RateLimit | None


class ProviderApp:
    """All external providers of the catalogue on one port."""

    def __init__(self, accounts: Mapping[str, Account], faults: Faults) -> None:
        self._accounts = accounts
        self._faults = faults
        self._book = UsageBook()
        self._cache = PromptCache()
        self._paces: set[asyncio.Task[None]] = set()
        self._created_s = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong, the process goes on."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        request_id = f"req_{uuid.uuid4().hex[:20]}"
        exchange = Exchange(scope, receive, send, [SIMULATED, (b"x-request-id", request_id.encode())])
        provider, _, rest = scope["path"].removeprefix("/").partition("/")
        account = self._accounts.get(provider)
        try:
            if account is None:
                await self._own(exchange, scope["path"])
            else:
                await self._serve(exchange, account, rest)
        except Refusal as refusal:
            await _refuse(exchange, account, refusal, request_id)
        except (CallerLeft, EngineStopped):
            return
        except Exception:  # a request must not end the process
            log.exception("request_failed", path=scope["path"])
            if not exchange.started:
                await _refuse(exchange, account, Refusal(500, "internal error"), request_id)

    async def _own(self, exchange: Exchange, path: str) -> None:
        method = exchange.scope["method"]
        if (method, path) == ("GET", "/health"):
            await exchange.answer(200, b"", ())
        elif (method, path) == ("GET", "/standin/usage"):
            await exchange.json(self._book.document())
        elif (method, path) == ("POST", "/sim/faults"):
            self._faults.set(parse_json(await exchange.body()))
            await exchange.json(self._faults.state())
        else:
            await exchange.json({"detail": "Not Found"}, 404)

    async def _serve(self, exchange: Exchange, account: Account, rest: str) -> None:
        key = _key_of(exchange, account.provider.dialect)
        method = exchange.scope["method"]
        is_anthropic = account.provider.dialect is Dialect.ANTHROPIC
        if (method, rest) == ("GET", "v1/models"):
            await exchange.json(answers.model_list(account.models, self._created_s))
            return
        paths = (
            ("v1/messages", COUNT_TOKENS)
            if is_anthropic
            else ("v1/chat/completions", "v1/completions", "v1/embeddings")
        )
        if method != "POST" or rest not in paths:
            raise Refusal(404, f"no such route: {method} /{rest}", param="path")
        document = parse_json(await exchange.body())
        strike = self._faults.strike()
        _admit(account, key)
        if rest == COUNT_TOKENS:
            ask = anthropic.read_messages({"max_tokens": 1, **document})
            _model_of(account, ask.model)
            await exchange.json({"input_tokens": ask.prompts[0].tokens})
            return
        if rest == "v1/embeddings":
            await self._embed(exchange, account, document)
            return
        read = {"v1/messages": anthropic.read_messages, "v1/completions": read_completion}.get(rest, read_chat)
        await self._generate(exchange, account, read(document), strike)

    async def _generate(self, exchange: Exchange, account: Account, ask: Ask, strike: str) -> None:
        model = _model_of(account, ask.model)
        if ask.images and Capability.VISION not in model.capabilities:
            raise Refusal(400, f"{model.model_id} does not take images", param="messages")
        if Capability.EMBEDDINGS in model.capabilities:
            raise Refusal(404, f"{model.model_id} is not a chat model", param="model")
        hold_at = self._faults.after_tokens if strike != "none" else None
        job = start(ask, model, account.provider, self._cache, hold_at)
        task = asyncio.get_running_loop().create_task(pace(job, account.provider, self._faults), name="pace")
        self._paces.add(task)
        task.add_done_callback(self._paces.discard)

        def release() -> None:
            task.cancel()
            if not job.finished:
                job.close()

        voice = _voice(account.provider.dialect, ask)
        headers = _limit_headers(account)
        whole = await relay(exchange, job, voice, stream=ask.stream, strike=strike, abort=release, headers=headers)
        self._count(model, job, ask, whole=whole)

    def _count(self, model: Model, job: Job, ask: Ask, *, whole: bool) -> None:
        if whole:
            self._book.add(model.model_id, job_usage(job, ask.n), model.price)
        else:
            self._book.add_cut(model.model_id, job)

    async def _embed(self, exchange: Exchange, account: Account, document: dict[str, object]) -> None:
        model = _model_of(account, document.get("model"))
        if Capability.EMBEDDINGS not in model.capabilities:
            raise Refusal(404, f"{model.model_id} makes no embeddings", param="model")
        prompts = read_prompts(document.get("input"), "input")
        dimensions = document.get("dimensions")
        size = dimensions if isinstance(dimensions, int) and 0 < dimensions <= 4096 else _EMBEDDING_DIMENSIONS
        as_base64 = document.get("encoding_format") == "base64"
        await asyncio.sleep(account.provider.ttft_s * self._faults.slowness)
        await exchange.json(answers.embeddings(model.model_id, prompts, size, as_base64=as_base64))
        tokens = sum(prompt.tokens for prompt in prompts)
        self._book.add(model.model_id, Usage(input_tokens=tokens, output_tokens=0), model.price)


def _key_of(exchange: Exchange, dialect: Dialect) -> str:
    """The caller's key: any but an empty one will do."""
    key = exchange.header(b"x-api-key") if dialect is Dialect.ANTHROPIC else None
    key = key or (exchange.header(b"authorization") or "").removeprefix("Bearer ").strip()
    if not key:
        raise Refusal(401, "Incorrect API key provided: it is empty.")
    return key


def _admit(account: Account, key: str) -> None:
    wait_s = account.limit.take(key, time.monotonic()) if account.limit is not None else 0.0
    if wait_s > 0.0:
        raise Refusal(
            429,
            f"Rate limit reached for {account.provider.name} (simulated). Try again in {wait_s:.1f} s.",
            retry_after_s=max(1.0, -(-wait_s // 1)),
        )


def _model_of(account: Account, name: object) -> Model:
    model = account.models.get(str(name))
    if model is None:
        raise Refusal(404, f"The model `{name}` does not exist or you do not have access to it.", param="model")
    return model


def _voice(dialect: Dialect, ask: Ask) -> Voice:
    if dialect is Dialect.ANTHROPIC:
        return anthropic.MessageWording(ask, f"msg_{uuid.uuid4().hex[:24]}")
    return answers.Wording(ask, f"chatcmpl-{uuid.uuid4().hex[:24]}", int(time.time()), tells_reasoning=True)


def _limit_headers(account: Account) -> list[tuple[bytes, bytes]]:
    if account.limit is None:
        return []
    dialect = b"anthropic-ratelimit-requests-limit"
    name = dialect if account.provider.dialect is Dialect.ANTHROPIC else b"x-ratelimit-limit-requests"
    return [(name, f"{account.limit.per_min:g}".encode())]


async def _refuse(exchange: Exchange, account: Account | None, refusal: Refusal, request_id: str) -> None:
    headers = [(b"content-type", b"application/json")]
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", f"{refusal.retry_after_s:g}".encode()))
    if account is not None and account.provider.dialect is Dialect.ANTHROPIC:
        headers.append((b"request-id", request_id.encode()))
        body = anthropic.error_body(refusal, request_id)
    else:
        body = answers.openai_error_body(
            refusal, _KINDS.get(refusal.status, "invalid_request_error"), _CODES.get(refusal.status)
        )
    await exchange.answer(refusal.status, body, headers)
