"""An OpenAI Responses request as a chat request; the table in this folder's README says what becomes of each field."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from controller.config.settings import Caps
from controller.gateway.dialects import responses_tools
from controller.gateway.dialects.responses_tools import INPUT, chat_name
from controller.gateway.json_body import Document
from controller.gateway.wishes import whole_number, wrong

_CARRIED = (
    "stream",
    "temperature",
    "top_p",
    "user",
    "metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
)
_READ = frozenset(
    [
        *_CARRIED,
        "model",
        "input",
        "instructions",
        "max_output_tokens",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "reasoning",
        "include",
        "top_logprobs",
        "store",
        "truncation",
        "stream_options",
        "background",
    ]
)
# What needs a server that remembers, or does more than answer.
_REFUSED = {
    "previous_response_id": "answers are not kept here: send the whole conversation as `input`",
    "conversation": "conversations are not kept here: send the whole conversation as `input`",
    "prompt": "prompt templates are not kept here: send their text as `instructions` and `input`",
    "moderation": "there is no moderation here",
}
_LOGPROBS = "message.output_text.logprobs"
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_SILENT_ITEMS = frozenset({"reasoning"})  # of earlier turns: only their author can read them
_TEXT_PARTS = frozenset({"input_text", "output_text", "text", "refusal"})


@dataclass(slots=True, kw_only=True)
class Translation:
    """A chat request under way. `dropped`: what of the request goes nowhere, told to the caller."""

    document: Document = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)


def to_chat(asked: Document, caps: Caps) -> Translation:
    """The request in chat words; RequestError 400 when a field is wrong or needs what is not here."""
    made = Translation()
    chat = made.document
    _refuse(asked)
    chat["model"] = asked.get("model")
    chat["messages"] = _messages(asked, caps)
    for name in _CARRIED:
        if asked.get(name) is not None:
            chat[name] = asked[name]
    limit = asked.get("max_output_tokens")
    if limit is not None:
        chat["max_tokens"] = whole_number("max_output_tokens", limit, 1, caps.tokens)
    responses_tools.translate(asked, chat, made.dropped)
    _text(asked, chat)
    _reasoning(asked, made)
    _include(asked, made)
    if chat.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    if asked.get("truncation") == "auto":
        made.dropped.append("truncation")
    made.dropped.extend(name for name in asked if name not in _READ and asked[name] is not None)
    return made


def _refuse(asked: Document) -> None:
    for name, why in _REFUSED.items():
        if asked.get(name) is not None:
            raise wrong(name, f"`{name}` cannot be served: {why}", "unsupported_parameter")
    for name, why in (("store", "answers are not kept here"), ("background", "answers are not kept here")):
        value = asked.get(name)
        if value is not None and value is not False:
            raise wrong(name, f"`{name}` must be false: {why}", "unsupported_parameter")


def object_at(value: object, name: str) -> Document:
    """The object, empty when it is not there."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(name, f"`{name}` must be an object", got=value)
    return value


def _messages(asked: Document, caps: Caps) -> list[Document]:
    given = asked.get("input")
    if isinstance(given, str):
        items: list[object] = [{"role": "user", "content": given}]
    elif isinstance(given, list) and given:
        items = given
    else:
        raise wrong("input", "`input` must be a string or a non-empty list of items", got=given)
    if len(items) > caps.messages:
        raise wrong("input", f"`input` must have at most {caps.messages} items")
    chat: list[Document] = []
    instructions = asked.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise wrong("instructions", "`instructions` must be a string", got=instructions)
    if instructions:
        chat.append({"role": "system", "content": instructions})
    for index, item in enumerate(items):
        _item(item, f"input[{index}]", chat)
    if not chat:
        raise wrong("input", "`input` must hold a message or a tool's output")
    return chat


def _item(item: object, where: str, chat: list[Document]) -> None:
    if not isinstance(item, dict):
        raise wrong(where, f"`{where}` must be an object", got=item)
    kind = item.get("type") or "message"
    if kind == "message":
        _message(item, where, chat)
    elif kind in ("function_call", "custom_tool_call"):
        _call(item, where, chat, is_custom=kind == "custom_tool_call")
    elif kind in ("function_call_output", "custom_tool_call_output"):
        content = _content(item.get("output"), f"{where}.output")
        chat.append({"role": "tool", "tool_call_id": _string(item, "call_id", where), "content": content})
    elif not isinstance(kind, str) or kind not in _SILENT_ITEMS:
        raise wrong(where, f"`{where}` is of a type that cannot be carried; see the table of the gateway")


def _string(item: Document, name: str, where: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise wrong(f"{where}.{name}", f"`{where}.{name}` must be a string", got=value)
    return value


def _message(item: Document, where: str, chat: list[Document]) -> None:
    given = item.get("role")
    role = _ROLES.get(given) if isinstance(given, str) else None
    if role is None:
        raise wrong(f"{where}.role", f"`role` must be one of {', '.join(sorted(_ROLES))}", got=given)
    content = _content(item.get("content"), f"{where}.content")
    before = chat[-1] if chat else None
    if role == "system" and before is not None and before["role"] == "system":  # templates want one, at the start
        before["content"] = f"{_plain(before['content'])}\n\n{_plain(content)}"
    else:
        chat.append({"role": role, "content": content})


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part.get("text", "") for part in parts)


def _content(content: object, where: str) -> str | list[Document]:
    """Text where there is nothing but text: every engine's template can read that."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong(where, f"`{where}` must be a string or a list of parts", got=content)
    parts = [_part(part, f"{where}[{index}]") for index, part in enumerate(content)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: object, where: str) -> Document:
    if not isinstance(part, dict):
        raise wrong(where, f"`{where}` must be an object", got=part)
    kind = part.get("type")
    if isinstance(kind, str) and kind in _TEXT_PARTS:
        return {"type": "text", "text": _string(part, "refusal" if kind == "refusal" else "text", where)}
    if kind != "input_image":
        raise wrong(where, f"`{where}` must be text or an image; files are not carried")
    url = part.get("image_url")
    if not isinstance(url, str):
        raise wrong(where, f"`{where}.image_url` must be a string; files are not kept here")
    image: Document = {"url": url}
    if isinstance(part.get("detail"), str):
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image}


def _call(item: Document, where: str, chat: list[Document], *, is_custom: bool) -> None:
    """Calls that were made at once, and what was said before them, are one message in chat."""
    namespace = item.get("namespace")
    name = chat_name(_string(item, "name", where), namespace if isinstance(namespace, str) else None)
    arguments = _string(item, INPUT if is_custom else "arguments", where)
    if is_custom:
        arguments = orjson.dumps({INPUT: arguments}).decode()
    call = {
        "id": _string(item, "call_id", where),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
    if not chat or chat[-1]["role"] != "assistant":
        chat.append({"role": "assistant", "content": None})
    chat[-1].setdefault("tool_calls", []).append(call)


def _text(asked: Document, chat: Document) -> None:
    text = object_at(asked.get("text"), "text")
    wanted = object_at(text.get("format"), "text.format")
    kind = wanted.get("type")
    if kind == "json_schema":
        named = ("name", "schema", "strict", "description")
        schema = {name: wanted[name] for name in named if wanted.get(name) is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind not in (None, "text"):
        raise wrong("text.format", "`text.format.type` must be one of json_object, json_schema, text")
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]


def _reasoning(asked: Document, made: Translation) -> None:
    reasoning = object_at(asked.get("reasoning"), "reasoning")
    if reasoning.get("effort") is not None:
        made.document["reasoning_effort"] = reasoning["effort"]
    made.dropped.extend(f"reasoning.{name}" for name in reasoning if name != "effort" and reasoning[name] is not None)


def _include(asked: Document, made: Translation) -> None:
    include, alternatives = asked.get("include"), asked.get("top_logprobs")
    if include is not None and (not isinstance(include, list) or not all(isinstance(name, str) for name in include)):
        raise wrong("include", "`include` must be a list of strings")
    names: list[str] = include or []
    made.dropped.extend(f"include.{name}" for name in names if name != _LOGPROBS)
    if _LOGPROBS in names or alternatives:
        made.document["logprobs"] = True
        made.document["top_logprobs"] = alternatives or 0
