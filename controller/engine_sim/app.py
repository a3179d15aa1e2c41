"""The simulated engine as an ASGI app: vLLM's paths, bodies and errors over one `Engine`."""

from __future__ import annotations

import hmac
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from controller.core.models import Capability, Model
from controller.engine_sim import answers
from controller.engine_sim.asks import Ask, Refusal, invalid, parse_json, read_chat, read_completion, read_prompts
from controller.engine_sim.engine import Engine
from controller.engine_sim.faults import Faults
from controller.engine_sim.jobs import EngineStopped
from controller.engine_sim.streaming import relay
from controller.engine_sim.text import TOKEN_BYTES
from controller.engine_sim.usage import UsageBook, job_usage
from controller.engine_sim.web import CallerLeft, Exchange, Receive, Scope, Send, lifespan

VERSION = "0.32.0+simulated"
SIMULATED = (b"x-spillway-simulated", b"true")
_EMBEDDING_DIMENSIONS = 64
GUARDED = "/v1"  # what vLLM asks its key for
_METRICS_TYPE = (b"content-type", b"text/plain; version=1.0.0; charset=utf-8")

log = structlog.get_logger(__name__)
Handler = Callable[[Exchange], Awaitable[None]]


class EngineApp:
    """Routes by exact path, as the raw request has it."""

    def __init__(
        self, model: Model, engine: Engine, faults: Faults, book: UsageBook, api_key: str | None = None
    ) -> None:
        self._bearer = None if api_key is None else f"Bearer {api_key}".encode()
        self._model = model
        self._engine = engine
        self._faults = faults
        self._book = book
        self._name = engine.setup.model_name
        self._created_s = int(time.time())
        self._routes: Mapping[str, tuple[str, Handler]] = {
            "/health": ("GET", self._health),
            "/ping": ("GET", self._health),
            "/load": ("GET", self._load),
            "/version": ("GET", self._version),
            "/metrics": ("GET", self._metrics),
            "/v1/models": ("GET", self._models),
            "/v1/chat/completions": ("POST", self._chat),
            "/v1/completions": ("POST", self._completion),
            "/v1/embeddings": ("POST", self._embed),
            "/tokenize": ("POST", self._tokenize),
            "/sim/faults": ("POST", self._switch),
            "/sim/usage": ("GET", self._usage),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong, the process goes on."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        exchange = Exchange(scope, receive, send, [SIMULATED])
        method, handler = self._routes.get(scope["path"], ("", None))
        if handler is None:
            await exchange.json({"detail": "Not Found"}, 404)
        elif scope["method"] != method:
            await exchange.json({"detail": "Method Not Allowed"}, 405, [(b"allow", method.encode())])
        elif self._bearer is not None and scope["path"].startswith(GUARDED) and not self._knows(exchange):
            await exchange.json({"error": "Unauthorized"}, 401)
        else:
            await self._answer(exchange, handler)

    def _knows(self, exchange: Exchange) -> bool:
        told = (exchange.header(b"authorization") or "").encode("latin-1")  # the bytes as they came
        return hmac.compare_digest(told, self._bearer or b"")

    async def _answer(self, exchange: Exchange, handler: Handler) -> None:
        try:
            await handler(exchange)
        except Refusal as refusal:
            await self._refuse(exchange, refusal)
        except (CallerLeft, EngineStopped):
            return
        except Exception:  # a request must not end the process
            log.exception("request_failed", path=exchange.scope["path"])
            if not exchange.started:
                await self._refuse(exchange, Refusal(500, "internal error", kind="InternalServerError"))

    async def _refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        headers = [(b"content-type", b"application/json")]
        if refusal.retry_after_s is not None:
            headers.append((b"retry-after", f"{refusal.retry_after_s:g}".encode()))
        await exchange.answer(refusal.status, answers.error_body(refusal), headers)

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer(200, b"", ())

    async def _load(self, exchange: Exchange) -> None:
        await exchange.json({"server_load": self._engine.in_flight})

    async def _version(self, exchange: Exchange) -> None:
        await exchange.json({"version": VERSION})

    async def _metrics(self, exchange: Exchange) -> None:
        model = self._engine.model
        text = self._engine.measures.exposition(
            running=model.running,
            waiting=model.waiting,
            kv_used_ratio=model.kv_used_ratio,
            prefix_queried=model.prefix_queried_tokens,
            prefix_hit=model.prefix_hit_tokens,
        )
        await exchange.answer(200, text, [_METRICS_TYPE])

    async def _models(self, exchange: Exchange) -> None:
        longest = self._engine.setup.engine.max_model_len_tokens
        await exchange.json(answers.model_list([self._name], self._created_s, longest))

    async def _chat(self, exchange: Exchange) -> None:
        document = self._checked(await exchange.body())
        await self._generate(exchange, read_chat(document))

    async def _completion(self, exchange: Exchange) -> None:
        document = self._checked(await exchange.body())
        await self._generate(exchange, read_completion(document))

    async def _generate(self, exchange: Exchange, ask: Ask) -> None:
        if ask.images and Capability.VISION not in self._model.capabilities:
            raise Refusal(400, f"{self._name} is not a multimodal model")
        strike = self._faults.strike()
        job = self._engine.submit(ask, self._faults.after_tokens if strike != "none" else None)
        prefix = "chatcmpl" if ask.chat else "cmpl"
        answer_id = f"{prefix}-{exchange.header(b'x-request-id') or uuid.uuid4().hex[:16]}"
        voice = answers.Wording(ask, answer_id, int(time.time()))
        whole = await relay(
            exchange,
            job,
            voice,
            stream=ask.stream,
            strike=strike,
            abort=lambda: self._engine.abort(job),
        )
        if whole:
            self._book.add(self._name, job_usage(job, ask.n), self._model.price)
        else:
            self._book.add_cut(self._name, job)

    async def _embed(self, exchange: Exchange) -> None:
        document = self._checked(await exchange.body())
        if Capability.EMBEDDINGS not in self._model.capabilities:
            raise Refusal(404, "The model does not support Embeddings API", kind="NotFoundError")
        prompts = read_prompts(document.get("input"), "input")
        as_base64 = document.get("encoding_format") == "base64"
        await exchange.json(answers.embeddings(self._name, prompts, _EMBEDDING_DIMENSIONS, as_base64=as_base64))

    async def _tokenize(self, exchange: Exchange) -> None:
        document = self._checked(await exchange.body())
        ask = read_chat(document) if "messages" in document else read_completion(document)
        data = ask.prompts[0].data
        ids = [int.from_bytes(data[start : start + TOKEN_BYTES], "big") for start in range(0, len(data), TOKEN_BYTES)]
        longest = self._engine.setup.engine.max_model_len_tokens
        await exchange.json(
            {"count": ask.prompts[0].tokens, "max_model_len": longest, "tokens": ids, "token_strs": None}
        )

    async def _switch(self, exchange: Exchange) -> None:
        self._faults.set(parse_json(await exchange.body()))
        await exchange.json(self._faults.state())

    async def _usage(self, exchange: Exchange) -> None:
        await exchange.json(self._book.document())

    def _checked(self, body: bytes) -> dict[str, Any]:
        """The body with the model's name in it; without one it is this model, as in vLLM."""
        document = parse_json(body)
        name = document.get("model")
        if name is None:
            return {**document, "model": self._name}
        if not isinstance(name, str):
            raise invalid("body.model", "string_type", "Input should be a valid string", name)
        if name != self._name:
            message = f"The model `{name}` does not exist. Valid aliases: {self._name}."
            raise Refusal(404, message, kind="NotFoundError", param="model")
        return document
