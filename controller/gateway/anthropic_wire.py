"""OpenAI chat to Anthropic messages and back, unary and streamed: text, system, tools, images, usage."""

from __future__ import annotations

import orjson

from controller.core.models import Feature, Model
from controller.core.money import Usage
from controller.gateway import chat_fields
from controller.gateway.chat_fields import Kind, check, says_something
from controller.gateway.decode import Decoded, NotTranslatable
from controller.gateway.json_body import Document

VERSION = "2023-06-01"
PATH = "/messages"
DEFAULT_MAX_TOKENS = 4096
_TEMPERATURE_MAX = 1.0
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_JSON_WORDS = "Answer with one JSON object and nothing else."
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "stop",
    "model_context_window_exceeded": "length",
}


def request_body(
    decoded: Decoded, model: Model, *, temperature: float | None, refuses: frozenset[Feature] = frozenset()
) -> bytes:
    """The same request in Anthropic's words."""
    document = decoded.document
    if decoded.native_only is not None:
        raise NotTranslatable(decoded.native_only)
    check(document, Kind.ANTHROPIC, refuses)
    system, messages = _messages(document["messages"])
    body: Document = {
        "model": model.model_id,
        "max_tokens": decoded.facts.max_tokens or min(DEFAULT_MAX_TOKENS, model.max_output_tokens),
        "messages": messages,
    }
    config = _output_config(document, model)
    if decoded.facts.json_output and "format" not in config:
        system.append(_JSON_WORDS + _schema(document["response_format"]))
    if config:
        body["output_config"] = config
    if system:
        body["system"] = "\n\n".join(system)
    body.update(_sampling(document, model, temperature))
    if stop := document.get("stop"):
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if user := document.get("user") or document.get("safety_identifier"):
        body["metadata"] = {"user_id": user}
    if decoded.facts.stream:
        body["stream"] = True
    body.update(_tools(document, model))
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise NotTranslatable("JSON that deep") from error


def dropped(document: Document, model: Model) -> list[str]:
    """Fields that are not sent to this model, its defaults standing instead."""
    names = chat_fields.dropped(document, Kind.ANTHROPIC)
    kept = _sampling(document, model, None)
    names.extend(name for name in ("temperature", "top_p") if document.get(name) is not None and name not in kept)
    if says_something("top_k", document.get("top_k")) and "top_k" not in kept:
        names.append("top_k")
    if document.get("reasoning_effort") is not None and "effort" not in _output_config(document, model):
        names.append("reasoning_effort")
    if document.get("user") and document.get("safety_identifier"):
        names.append("safety_identifier")
    if Feature.JSON_SCHEMA not in model.takes and any(_is_strict(tool) for tool in document.get("tools") or []):
        names.append("tools.strict")
    return names


def _sampling(document: Document, model: Model, ours: float | None) -> Document:
    """Temperature or top_p: Anthropic takes one of them only. Its scale ends at 1, which is also its default.

    `ours`: the temperature of the rules, for a caller who says nothing of sampling.
    """
    if not model.accepts_temperature:
        return {}
    temperature, top_p = document.get("temperature"), document.get("top_p")
    if temperature is None and top_p is None:
        temperature = ours
    chosen: Document = {}
    if temperature is not None and temperature <= _TEMPERATURE_MAX:
        chosen["temperature"] = temperature
    elif temperature is None and top_p is not None:
        chosen["top_p"] = top_p
    if says_something("top_k", document.get("top_k")):
        chosen["top_k"] = document["top_k"]
    return chosen


def _output_config(document: Document, model: Model) -> Document:
    """What the model has fields for: a strict schema, which Anthropic enforces too, and effort."""
    config: Document = {}
    wanted = document.get("response_format")
    schema = wanted.get("json_schema") if isinstance(wanted, dict) and wanted.get("type") == "json_schema" else None
    is_strict = isinstance(schema, dict) and schema.get("strict") is True and isinstance(schema.get("schema"), dict)
    if isinstance(schema, dict) and is_strict and Feature.JSON_SCHEMA in model.takes:
        config["format"] = {"type": "json_schema", "schema": schema["schema"]}
    effort = document.get("reasoning_effort")
    if isinstance(effort, str) and effort in _EFFORTS and Feature.EFFORT in model.takes:
        config["effort"] = _EFFORTS[effort]
    return config


def _schema(wanted: Document) -> str:
    schema = wanted.get("json_schema")
    if not isinstance(schema, dict) or not isinstance(schema.get("schema"), dict):
        return ""
    return " It must match this JSON schema: " + orjson.dumps(schema["schema"]).decode()


def _is_strict(tool: Document) -> bool:
    function = tool.get("function")
    return isinstance(function, dict) and function.get("strict") is True


def _tools(document: Document, model: Model) -> Document:
    tools = document.get("tools")
    if not tools:
        return {}
    if any(not isinstance(tool.get("function"), dict) for tool in tools):
        raise NotTranslatable("a tool that is not a function")
    translated: Document = {"tools": [_tool(tool, model) for tool in tools]}
    choice = _tool_choice(document.get("tool_choice"))
    if document.get("parallel_tool_calls") is False and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice is not None:
        translated["tool_choice"] = choice
    return translated


def _tool(tool: Document, model: Model) -> Document:
    function = tool["function"]
    made = {
        "name": function.get("name"),
        "description": function.get("description") or "",
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    return {**made, "strict": True} if _is_strict(tool) and Feature.JSON_SCHEMA in model.takes else made


def _tool_choice(choice: object) -> Document | None:
    if isinstance(choice, dict):
        function = choice.get("function")
        return {"type": "tool", "name": function.get("name") if isinstance(function, dict) else None}
    return {"required": {"type": "any"}, "none": {"type": "none"}, "auto": {"type": "auto"}}.get(str(choice))


def _messages(messages: list[Document]) -> tuple[list[str], list[Document]]:
    system: list[str] = []
    translated: list[Document] = []
    for message in messages:
        role, content = message["role"], message.get("content")
        if role in ("system", "developer"):
            system.append(_plain(content))
            continue
        blocks = _tool_result(message) if role in ("tool", "function") else _blocks(content)
        if role == "assistant":
            blocks.extend(_tool_uses(message.get("tool_calls") or []))
        if not blocks:
            continue
        speaker = "assistant" if role == "assistant" else "user"
        if translated and translated[-1]["role"] == speaker:
            translated[-1]["content"].extend(blocks)
        else:
            translated.append({"role": speaker, "content": blocks})
    if not translated or translated[0]["role"] != "user":
        translated.insert(0, {"role": "user", "content": [{"type": "text", "text": "."}]})
    return system, translated


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(text for part in parts if isinstance(text := part.get("text"), str))


def _blocks(content: object) -> list[Document]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [_block(part) for part in (content if isinstance(content, list) else []) if part.get("text") != ""]


def _block(part: Document) -> Document:
    kind = part.get("type")
    if kind == "text" or (kind is None and isinstance(part.get("text"), str)):
        return {"type": "text", "text": part["text"]}
    if kind != "image_url":
        raise NotTranslatable(f"a content part of type {kind}")
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise NotTranslatable("an image without a URL")
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, _, data = url[5:].partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _tool_result(message: Document) -> list[Document]:
    content = message.get("content")
    return [
        {
            "type": "tool_result",
            "tool_use_id": message.get("tool_call_id") or message.get("name") or "",
            "content": content if isinstance(content, str) else _blocks(content),
        }
    ]


def _tool_uses(calls: object) -> list[Document]:
    if not isinstance(calls, list):
        raise NotTranslatable("tool calls that are not a list")
    return [_tool_use(call) for call in calls]


def _tool_use(call: object) -> Document:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        raise NotTranslatable("a tool call that is not a function")
    try:
        arguments = orjson.loads(function.get("arguments") or "{}")
    except orjson.JSONDecodeError as error:
        raise NotTranslatable("tool arguments that are not JSON") from error
    if not isinstance(arguments, dict):
        raise NotTranslatable("tool arguments that are not an object")
    return {"type": "tool_use", "id": call.get("id") or "", "name": function.get("name"), "input": arguments}


def usage_of(raw: object, before: Usage | None = None) -> Usage | None:
    """Usage in Anthropic's shape; cached reads and writes are part of the input. `before`: from an earlier event.

    Counts of a stream only grow, and its last event may leave out those that the first one told.
    """
    if not isinstance(raw, dict):
        return before
    known = before or Usage(input_tokens=0, output_tokens=0)
    fresh, output, cached, written = (
        count if isinstance(count := raw.get(name), int) and count > 0 else 0
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    return Usage(
        input_tokens=max(fresh + cached + written, known.input_tokens),
        output_tokens=max(output, known.output_tokens),
        cached_input_tokens=max(cached, known.cached_input_tokens),
    )


def openai_usage(usage: Usage) -> Document:
    """Usage in OpenAI's shape."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
    }


def unary(answer: Document, created_s: int) -> tuple[bytes, Usage | None]:
    """An Anthropic message as an OpenAI chat completion, and its usage."""
    texts, thoughts, calls = [], [], []
    for block in answer["content"]:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            texts.append(str(block.get("text") or ""))
        elif kind == "thinking":
            thoughts.append(str(block.get("thinking") or ""))
        elif kind == "tool_use":
            arguments = orjson.dumps(block.get("input") or {}).decode()
            function = {"name": block.get("name"), "arguments": arguments}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
    message: Document = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    usage = usage_of(answer.get("usage"))
    finish = FINISH_REASONS.get(str(answer.get("stop_reason")), "stop")
    document: Document = {
        "id": answer.get("id"),
        "object": "chat.completion",
        "created": created_s,
        "model": answer.get("model"),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
    }
    if usage is not None:
        document["usage"] = openai_usage(usage)
    return orjson.dumps(document), usage
