"""What a caller asks for, read from the JSON body of either dialect and refused in the server's own words.

Called by the apps of the simulated engine and of the stand-in provider, which turn `Refusal` into their error body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from controller.engine_sim.text import IMAGE_TOKENS, count_tokens, render_chat

COMPLETION_TOKENS = 16  # of a text completion that does not say
# Words in a last user message: with tool_choice auto they get a call of the first tool, or one of each at once; and
# text that is thought before the answer.
USE_THE_TOOL = "use the tool"
USE_EVERY_TOOL = "use every tool"
THINK_FIRST = "think first"


class Refusal(Exception):
    """The request is answered with an error. `kind` is vLLM's error type."""

    def __init__(
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
    """A function that the answer will call."""

    name: str
    schema: object
    named: bool  # the caller named it: vLLM then ends with `stop`, not `tool_calls`


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A generation request. `max_tokens` None: the dialect's default."""

    chat: bool
    model: str | None
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
    tools: tuple[Tool, ...] = ()
    thinks: bool = False
    json_schema: object = None  # not None: the answer is JSON
    cache_salt: str = ""


def invalid(name: str, problem: str, message: str, value: object) -> Refusal:
    """A refusal in the words of vLLM's schema check."""
    shown = f"<{type(value).__name__} of {len(value)} items>" if isinstance(value, dict | list) else str(value)
    detail = {"type": problem, "loc": name, "msg": message, "input": shown}
    return Refusal(400, f"1 validation error:\n  {detail}", kind="Bad Request", param=name)


def parse_json(body: bytes) -> dict[str, Any]:
    """The body as an object; Refusal as vLLM words it."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"body.{error.pos}", "json_invalid", "JSON decode error", {}) from error
    if not isinstance(document, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise invalid("body", "model_attributes_type", message, document)
    return document


def read_chat(document: dict[str, Any]) -> Ask:
    """A chat completion request."""
    messages = _messages(document)
    data, images = render_chat(messages)
    fields = _common(document)
    limit = _integer(document, "max_completion_tokens", 1)
    if limit is not None:
        fields["max_tokens"] = limit
    if document.get("logprobs"):
        fields["logprobs"] = _integer(document, "top_logprobs", 0) or 0
    elif document.get("top_logprobs"):
        raise _refused("top_logprobs", "when using `top_logprobs`, `logprobs` must be set to true.")
    return Ask(
        chat=True,
        prompts=(Prompt(data=data, tokens=count_tokens(data) + images * IMAGE_TOKENS),),
        images=images,
        tools=_tools(document, messages),
        thinks=says(messages, THINK_FIRST),
        json_schema=_json_schema(document.get("response_format")),
        **fields,
    )


def _messages(document: dict[str, Any]) -> list[dict[str, Any]]:
    messages = document.get("messages")
    if "messages" not in document:
        raise invalid("body.messages", "missing", "Field required", document)
    if not isinstance(messages, list):
        raise invalid("body.messages", "list_type", "Input should be a valid list", messages)
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise invalid(f"body.messages.{number}", "dict_type", "Input should be a valid dictionary", message)
    if not messages:
        raise Refusal(400, "Cannot apply chat template to an empty conversation. Provide at least one message.")
    return messages


def read_completion(document: dict[str, Any]) -> Ask:
    """A text completion request; `prompt` may be a text, texts, token ids or lists of token ids."""
    fields = _common(document)
    if document.get("logprobs") is not None:
        fields["logprobs"] = _integer(document, "logprobs", 0)
    if fields["max_tokens"] is None:
        fields["max_tokens"] = COMPLETION_TOKENS
    return Ask(chat=False, prompts=read_prompts(document.get("prompt"), "prompt"), **fields)


def read_prompts(value: object, name: str) -> tuple[Prompt, ...]:
    """A text, texts, token ids or lists of token ids as prompts."""
    if not value and value != []:
        raise _refused(name, f"Either {name} or {name}_embeds must be provided and non-empty.")
    if isinstance(value, str):
        return (_text_prompt(value),)
    if value == []:
        raise Refusal(400, f"You must pass at least one {name}")
    if isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            return tuple(_text_prompt(item) for item in value)
        if all(isinstance(item, int) for item in value):
            return (_id_prompt(value),)
        if all(isinstance(item, list) and item and all(isinstance(one, int) for one in item) for item in value):
            return tuple(_id_prompt(item) for item in value)
    raise invalid(f"body.{name}", "string_type", "Input should be a valid string or token ids", value)


def _text_prompt(text: str) -> Prompt:
    data = text.encode("utf-8", "surrogatepass")
    return Prompt(data=data, tokens=count_tokens(data))


def _id_prompt(ids: list[int]) -> Prompt:
    return Prompt(data=b"".join((number & 0xFFFFFFFF).to_bytes(4, "big") for number in ids), tokens=len(ids))


def _common(document: dict[str, Any]) -> dict[str, Any]:
    _check_sampling(document)
    stop = document.get("stop") or ()
    options = document.get("stream_options")
    if options is not None and not document.get("stream"):
        raise _refused("stream_options", "Stream options can only be defined when `stream=True`.")
    limit, least = _integer(document, "max_tokens", 1), _integer(document, "min_tokens", 0) or 0
    if limit is not None and least > limit:
        raise Refusal(400, f"min_tokens must be less than or equal to max_tokens={limit}, got {least}.")
    return {
        "model": document.get("model"),
        "n": _choices(document),
        "max_tokens": limit,
        "min_tokens": least,
        "ignore_eos": bool(document.get("ignore_eos")),
        "stop": (stop,) if isinstance(stop, str) else tuple(text for text in stop if isinstance(text, str) and text),
        "seed": _integer(document, "seed", None),
        "stream": bool(document.get("stream")),
        "include_usage": isinstance(options, dict) and bool(options.get("include_usage")),
        "cache_salt": str(document.get("cache_salt") or ""),
    }


def _choices(document: dict[str, Any]) -> int:
    count = _integer(document, "n", None)
    if count is not None and count < 1:
        raise Refusal(400, f"n must be at least 1, got {count}.")
    return count or 1


def _check_sampling(document: dict[str, Any]) -> None:
    for name, words, low, high in (("temperature", "[0, 2]", 0.0, 2.0), ("top_p", "(0, 1]", 1e-12, 1.0)):
        value = document.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid(f"body.{name}", "float_parsing", "Input should be a valid number", value)
        if not low <= value <= high:
            raise _refused(name, f"{name} must be in {words}, got {float(value)}.", float(value))


def _refused(name: str, message: str, value: object = None) -> Refusal:
    shown = "" if value is None else f", value={value}"
    return Refusal(400, f"{message} (parameter={name}{shown})", param=name)


def _integer(document: dict[str, Any], name: str, least: int | None) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"body.{name}", "int_parsing", "Input should be a valid integer", value)
    if least is not None and value < least:
        raise _refused(name, f"{name} must be at least {least}, got {value}.", value)
    return value


def _tools(document: dict[str, Any], messages: list[dict[str, Any]]) -> tuple[Tool, ...]:
    """The tools that the answer calls at once."""
    tools = [tool["function"] for tool in _objects(document.get("tools")) if isinstance(tool.get("function"), dict)]
    choice = document.get("tool_choice")
    if isinstance(choice, dict):
        function = choice.get("function")
        wanted = function.get("name") if isinstance(function, dict) else None
        for tool in tools:
            if tool.get("name") == wanted:
                return (Tool(name=str(wanted), schema=tool.get("parameters"), named=True),)
        raise _refused("tool_choice", "The tool specified in `tool_choice` does not match any of the specified `tools`")
    if choice == "required" and not tools:
        raise _refused("tool_choice", "When using `tool_choice`, `tools` must be set.")
    count = calls_wanted(messages, len(tools), forced=choice == "required")
    if choice == "none":
        return ()
    if document.get("parallel_tool_calls") is False:
        count = min(count, 1)
    return tuple(Tool(name=str(tool.get("name")), schema=tool.get("parameters"), named=False) for tool in tools[:count])


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def says(messages: list[dict[str, Any]], words: str) -> bool:
    """Whether the last message is a user's and holds these words."""
    last = messages[-1]
    return last.get("role") == "user" and words in str(last.get("content")).lower()


def calls_wanted(messages: list[dict[str, Any]], tools: int, *, forced: bool) -> int:
    """How many of so many tools are called."""
    if says(messages, USE_EVERY_TOOL):
        return tools
    return min(tools, 1) if forced or says(messages, USE_THE_TOOL) else 0


def _json_schema(response_format: object) -> object:
    if not isinstance(response_format, dict):
        return None
    kind = response_format.get("type")
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if kind == "json_schema" and isinstance(response_format.get("json_schema"), dict):
        return response_format["json_schema"].get("schema") or {"type": "object"}
    return None
