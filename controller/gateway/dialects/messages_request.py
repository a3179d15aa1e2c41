"""An Anthropic Messages request as a chat request; the table in this folder's README says what becomes of each field.

What chat has no word for (documents, server tools) is kept in the caller's own document, so that an Anthropic target
can still serve it; `native_only` names it, and every other target passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from controller.config.settings import Caps
from controller.gateway.json_body import Document
from controller.gateway.wishes import wrong

_TEMPERATURE_MAX = 1.0
_CARRIED = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "stream": "stream"}
_NATIVE = ("container", "mcp_servers", "context_management")
_KNOWN = frozenset(
    [
        *_CARRIED,
        *_NATIVE,
        "model",
        "messages",
        "system",
        "max_tokens",
        "metadata",
        "stop_sequences",
        "tools",
        "tool_choice",
        "output_config",
    ]
)
_SILENT_BLOCKS = frozenset({"thinking", "redacted_thinking"})  # of earlier turns: only their author can read them


@dataclass(slots=True, kw_only=True)
class Translation:
    """A chat request under way. `dropped`: fields that a chat target does not get, told to the caller."""

    document: Document = field(default_factory=dict)
    native_only: str | None = None
    dropped: list[str] = field(default_factory=list)

    def only_native(self, what: str) -> None:
        """Chat has no word for it; the first one is named."""
        self.native_only = self.native_only or what


def to_chat(asked: Document, caps: Caps) -> Translation:
    """The request in chat words; RequestError 400 when a field is wrong."""
    made = Translation()
    chat = made.document
    chat["model"] = asked.get("model")
    chat["messages"] = _system(asked.get("system"), made) + _messages(asked.get("messages"), caps, made)
    limit = asked.get("max_tokens")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise wrong("max_tokens", "`max_tokens` must be an integer of at least 1", got=limit)
    chat["max_tokens"] = limit
    for name, its_name in _CARRIED.items():
        if asked.get(name) is not None:
            chat[its_name] = asked[name]
    _sampling(asked)
    _stop(asked, chat)
    _tools(asked, made)
    _output(asked, made)
    user = _object(asked.get("metadata"), "metadata").get("user_id")
    if user is not None:
        chat["user"] = user
    if chat.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    made.dropped.extend(name for name in asked if name not in _KNOWN and asked[name] is not None)
    for name in _NATIVE:
        if asked.get(name):
            made.only_native(name)
    if chat["messages"][-1]["role"] == "assistant":  # an answer begun by the caller
        chat["add_generation_prompt"], chat["continue_final_message"] = False, True
    return made


def _object(value: object, name: str) -> Document:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(name, f"`{name}` must be an object", got=value)
    return value


def _sampling(asked: Document) -> None:
    temperature, top_k = asked.get("temperature"), asked.get("top_k")
    if isinstance(temperature, int | float) and not 0 <= temperature <= _TEMPERATURE_MAX:
        raise wrong("temperature", "`temperature` must be a number between 0 and 1", got=temperature)
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 0):
        raise wrong("top_k", "`top_k` must be an integer of at least 0", got=top_k)


def _stop(asked: Document, chat: Document) -> None:
    stop = asked.get("stop_sequences")
    if stop is None:
        return
    if not isinstance(stop, list) or not all(isinstance(text, str) for text in stop):
        raise wrong("stop_sequences", "`stop_sequences` must be a list of strings")
    if stop:
        chat["stop"] = stop


def _system(system: object, made: Translation) -> list[Document]:
    if system is None:
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}] if system else []
    if not isinstance(system, list):
        raise wrong("system", "`system` must be a string or a list of text blocks", got=system)
    texts = [_text(block, f"system[{index}]") for index, block in enumerate(system)]
    if any("cache_control" in block for block in system):
        made.dropped.append("system.cache_control")
    return [{"role": "system", "content": "\n\n".join(texts)}] if texts else []


def _text(block: object, where: str) -> str:
    text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else None
    if not isinstance(text, str):
        raise wrong(where, f"`{where}` must be a text block")
    return text


def _messages(messages: object, caps: Caps, made: Translation) -> list[Document]:
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "`messages` must be a non-empty list", got=messages)
    if len(messages) > caps.messages:
        raise wrong("messages", f"`messages` must have at most {caps.messages} entries")
    chat: list[Document] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise wrong(where, f"`{where}` must be an object", got=message)
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise wrong(f"{where}.role", "`role` must be one of assistant, system, user", got=role)
        if isinstance(content, str):
            chat.append({"role": role, "content": content})
        elif not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
            raise wrong(f"{where}.content", "`content` must be a string or a list of blocks", got=content)
        elif role == "assistant":
            chat.append(_assistant(content, where, made))
        else:
            chat.extend(_user(content, role, where, made))
    return chat


def _assistant(blocks: list[Document], where: str, made: Translation) -> Document:
    texts: list[str] = []
    calls: list[Document] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            texts.append(_text(block, where))
        elif kind == "tool_use":
            function = {"name": block.get("name"), "arguments": orjson.dumps(block.get("input") or {}).decode()}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
        elif not isinstance(kind, str) or kind not in _SILENT_BLOCKS:
            made.only_native(f"a block of type {kind}")
    message: Document = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    if calls:
        message["tool_calls"] = calls
    return message


def _user(blocks: list[Document], role: str, where: str, made: Translation) -> list[Document]:
    """Tool results are messages of their own in chat, and come before what the user says to them."""
    results: list[Document] = []
    parts: list[Document] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            parts.append({"type": "text", "text": _text(block, where)})
        elif kind == "image":
            parts.append(_image(block, where, made))
        elif kind == "tool_result":
            results.append(_tool_result(block, where, made))
        else:
            made.only_native(f"a block of type {kind}")
    if all(part["type"] == "text" for part in parts) and parts:
        content: object = parts[0]["text"] if len(parts) == 1 else parts
    else:
        content = parts
    return [*results, {"role": role, "content": content}] if parts else results or [{"role": role, "content": ""}]


def _image(block: Document, where: str, made: Translation) -> Document:
    source = _object(block.get("source"), f"{where}.source")
    kind = source.get("type")
    url = ""
    if kind == "base64":
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
    elif kind == "url":
        url = str(source.get("url"))
    else:
        made.only_native(f"an image from {kind}")
    return {"type": "image_url", "image_url": {"url": url}}


def _tool_result(block: Document, where: str, made: Translation) -> Document:
    content = block.get("content")
    if isinstance(content, list):
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in content):
            made.only_native("a tool result that is not text")
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "\n".join(text for text in texts if isinstance(text, str))
    elif content is not None and not isinstance(content, str):
        raise wrong(f"{where}.content", "a tool result must be a string or a list of blocks")
    if block.get("is_error"):
        made.dropped.append("tool_result.is_error")
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content or ""}


def _tools(asked: Document, made: Translation) -> None:
    tools, chat = asked.get("tools"), made.document
    if tools:
        if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
            raise wrong("tools", "`tools` must be a list of objects")
        chat["tools"] = [_tool(tool, made) for tool in tools]
    choice = _object(asked.get("tool_choice"), "tool_choice")
    kind = choice.get("type")
    if kind is None:
        return
    plain = {"auto": "auto", "any": "required", "none": "none"}
    if kind == "tool":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(kind, str) and kind in plain:
        chat["tool_choice"] = plain[kind]
    else:
        raise wrong("tool_choice", "`tool_choice.type` must be one of any, auto, none, tool")
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False


def _tool(tool: Document, made: Translation) -> Document:
    kind = tool.get("type")
    if kind not in (None, "custom"):
        made.only_native(f"the tool {kind}")
    function: Document = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {}}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _output(asked: Document, made: Translation) -> None:
    wanted = _object(asked.get("output_config"), "output_config")
    shape = _object(wanted.get("format"), "output_config.format")
    if shape.get("type") == "json_schema":
        schema = {"name": "answer", "schema": shape.get("schema"), "strict": True}
        made.document["response_format"] = {"type": "json_schema", "json_schema": schema}
    if wanted.get("effort") is not None:
        made.document["reasoning_effort"] = wanted["effort"]
