"""What a caller asks for, read from the JSON body of either dialect and refused in the server's own words.

Called by the apps of the simulated engine and of the stand-in provider, which turn `Refusal` into their error body.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from controller.engine_sim.text import IMAGE_TOKENS, count_tokens, render_chat

USE_THE_TOOL = "use the tool"  # with tool_choice auto, a last user message with these words gets a tool call


class Refusal(Exception):
    """The request is answered with an error. `kind` is vLLM's error type."""

    def __init__(  # noqa: D107
        self, status: int, message: str, *, kind: str = "BadRequestError", param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt and what it costs."""

    data: bytes
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """The function that the answer will call."""

    name: str
    schema: object
    named: bool  # the caller named it: vLLM then ends with `stop`, not `tool_calls`


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A generation request. `max_tokens` None: the dialect's default."""

    chat: bool
    model: str
    prompts: tuple[Prompt, ...]
    n: int = 1
    max_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    seed: int | None = None
    stream: bool = False
    include_usage: bool = False
    logprobs: int | None = None  # how many alternatives per token
    images: int = 0
    tool: Tool | None = None
    json_schema: object = None  # not None: the answer is JSON
    cache_salt: str = ""
    echo_role: str = field(default="assistant")


def parse_json(body: bytes) -> dict[str, Any]:
    """The body as an object; Refusal as vLLM words it."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"JSON decode error: {error}") from error
    if not isinstance(document, dict):
        raise Refusal(400, "Input should be a valid dictionary")
    return document


def read_chat(document: dict[str, Any]) -> Ask:
    """A chat completion request."""
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise Refusal(400, "messages: Input should be a non-empty list of objects", param="messages")
    data, images = render_chat(messages)
    fields = _common(document)
    limit = _integer(document, "max_completion_tokens", 1)
    if limit is not None:
        fields["max_tokens"] = limit
    if document.get("logprobs"):
        fields["logprobs"] = _integer(document, "top_logprobs", 0) or 0
    return Ask(
        chat=True,
        prompts=(Prompt(data=data, tokens=count_tokens(data) + images * IMAGE_TOKENS),),
        images=images,
        tool=_tool(document, messages),
        json_schema=_json_schema(document.get("response_format")),
        **fields,
    )


def read_completion(document: dict[str, Any]) -> Ask:
    """A text completion request; `prompt` may be a text, texts, token ids or lists of token ids."""
    fields = _common(document)
    if document.get("logprobs") is not None:
        fields["logprobs"] = _integer(document, "logprobs", 0)
    return Ask(chat=False, prompts=read_prompts(document.get("prompt"), "prompt"), **fields)


def read_prompts(value: object, name: str) -> tuple[Prompt, ...]:
    """A text, texts, token ids or lists of token ids as prompts."""
    if isinstance(value, str):
        return (_text_prompt(value),)
    if isinstance(value, list) and value:
        if all(isinstance(item, str) for item in value):
            return tuple(_text_prompt(item) for item in value)
        if all(isinstance(item, int) for item in value):
            return (_id_prompt(value),)
        if all(isinstance(item, list) and item and all(isinstance(one, int) for one in item) for item in value):
            return tuple(_id_prompt(item) for item in value)
    raise Refusal(400, f"{name}: Input should be a text, texts or token ids, not empty", param=name)


def _text_prompt(text: str) -> Prompt:
    data = text.encode("utf-8", "surrogatepass")
    return Prompt(data=data, tokens=count_tokens(data))


def _id_prompt(ids: list[int]) -> Prompt:
    return Prompt(data=b"".join((number & 0xFFFFFFFF).to_bytes(4, "big") for number in ids), tokens=len(ids))


def _common(document: dict[str, Any]) -> dict[str, Any]:
    model = document.get("model")
    if not isinstance(model, str):
        raise Refusal(400, "model: Input should be a valid string", param="model")
    _check_sampling(document)
    stop = document.get("stop") or ()
    options = document.get("stream_options")
    return {
        "model": model,
        "n": _integer(document, "n", 1) or 1,
        "max_tokens": _integer(document, "max_tokens", 1),
        "min_tokens": _integer(document, "min_tokens", 0) or 0,
        "ignore_eos": bool(document.get("ignore_eos")),
        "stop": (stop,) if isinstance(stop, str) else tuple(text for text in stop if isinstance(text, str) and text),
        "seed": _integer(document, "seed", None),
        "stream": bool(document.get("stream")),
        "include_usage": isinstance(options, dict) and bool(options.get("include_usage")),
        "cache_salt": str(document.get("cache_salt") or ""),
    }


def _check_sampling(document: dict[str, Any]) -> None:
    for name, low, high in (("temperature", 0.0, 2.0), ("top_p", 0.0, 1.0)):
        value = document.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise Refusal(400, f"{name}: Input should be a valid number", param=name)
        if value is not None and not low <= value <= high:
            raise Refusal(400, f"{name} must be in [{low:g}, {high:g}], got {value}.", param=name)


def _integer(document: dict[str, Any], name: str, least: int | None) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal(400, f"{name}: Input should be a valid integer", param=name)
    if least is not None and value < least:
        raise Refusal(400, f"{name} must be at least {least}, got {value}.", param=name)
    return value


def _tool(document: dict[str, Any], messages: list[dict[str, Any]]) -> Tool | None:
    """The tool that the answer calls, if it calls one."""
    tools = [tool["function"] for tool in document.get("tools") or () if isinstance(tool.get("function"), dict)]
    choice = document.get("tool_choice")
    if isinstance(choice, dict):
        function = choice.get("function")
        wanted = function.get("name") if isinstance(function, dict) else None
        for tool in tools:
            if tool.get("name") == wanted:
                return Tool(name=str(wanted), schema=tool.get("parameters"), named=True)
        raise Refusal(400, f"tool_choice names {wanted!r}, which is not in tools", param="tool_choice")
    if choice == "required" and not tools:
        raise Refusal(400, "tool_choice is required but tools is empty", param="tool_choice")
    if not tools or choice == "none" or (choice != "required" and not asks_for_the_tool(messages)):
        return None
    return Tool(name=str(tools[0].get("name")), schema=tools[0].get("parameters"), named=False)


def asks_for_the_tool(messages: list[dict[str, Any]]) -> bool:
    """Whether the last message is a user's and holds the words that make the simulator call a tool."""
    last = messages[-1]
    return last.get("role") == "user" and USE_THE_TOOL in str(last.get("content")).lower()


def _json_schema(response_format: object) -> object:
    if not isinstance(response_format, dict):
        return None
    kind = response_format.get("type")
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if kind == "json_schema" and isinstance(response_format.get("json_schema"), dict):
        return response_format["json_schema"].get("schema") or {"type": "object"}
    return None
