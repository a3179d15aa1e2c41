"""`POST /v1/messages/count_tokens`: own engines tokenize, Anthropic counts, elsewhere it is an estimate."""

from __future__ import annotations

import orjson

from controller.core.errors import EngineUnavailable
from controller.core.models import Model
from controller.core.money import Usage
from controller.gateway.decode import Decoded, NotTranslatable

OWN_PATH = "/tokenize"
ANTHROPIC_PATH = "/messages/count_tokens"
NO_USAGE = Usage(input_tokens=0, output_tokens=0)  # counting is free everywhere
_ENGINE_FIELDS = ("messages", "tools", "add_generation_prompt", "continue_final_message")
_NATIVE_FIELDS = ("messages", "system", "tools", "tool_choice", "thinking")


def request_body(decoded: Decoded, model: Model, *, is_own: bool, is_anthropic: bool) -> bytes:
    """The question in the target's words."""
    asked = decoded.document
    if is_anthropic and decoded.native is not None:
        return orjson.dumps(
            {
                **{name: decoded.native[name] for name in _NATIVE_FIELDS if name in decoded.native},
                "model": model.model_id,
            }
        )
    if not is_own:
        raise NotTranslatable("counting tokens")
    if decoded.native_only is not None:
        raise NotTranslatable(decoded.native_only)
    return orjson.dumps({**{name: asked[name] for name in _ENGINE_FIELDS if name in asked}, "model": model.model_id})


def read(body: bytes, *, is_anthropic: bool) -> bytes:
    """The count in Anthropic's words; EngineUnavailable when a 200 holds none."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise EngineUnavailable("answered 200 with something that is not JSON") from error
    name = "input_tokens" if is_anthropic else "count"
    count = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(count, int):
        raise EngineUnavailable(f"answered 200 without `{name}`")
    return counted(count)


def counted(tokens: int) -> bytes:
    """The answer."""
    return orjson.dumps({"input_tokens": tokens})
