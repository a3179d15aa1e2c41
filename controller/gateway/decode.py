"""From bytes to a checked request: caps, JSON, types, and the facts that routing needs. Refuses with RequestError."""

from __future__ import annotations

import orjson

from controller.config.settings import Caps
from controller.core.records import record
from controller.core.requests import Operation
from controller.gateway import engine_limits, wishes
from controller.gateway.json_body import Document, parse
from controller.gateway.wishes import HeaderMap, whole_number, wrong
from controller.routing.classify import RequestFacts
from controller.routing.prefix import prefixes

_NUMBERS = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
}
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


class NotTranslatable(Exception):
    """The request asks for something that a target's API has no word for; another target may do."""


@record
class Decoded:
    """A checked request, in chat words whatever the caller's. `wants_usage`: the caller gets the usage of a stream.

    `native`: the caller's own document in Anthropic's words, for Anthropic targets; `native_only`: what of it no other
    dialect can carry; `asked`: the same in words that no target speaks, parts of which answers repeat; `dropped`:
    fields chat targets do not get.
    """

    operation: Operation
    document: Document
    facts: RequestFacts
    wants_usage: bool
    n: int
    native: Document | None = None
    native_only: str | None = None
    dropped: tuple[str, ...] = ()
    asked: Document | None = None
    part_kinds: frozenset[str] = frozenset()  # of content parts in chat messages
    resume: bool | None = None  # the caller's word on going on elsewhere when a stream's engine dies


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _check_int(document: Document, name: str, low: int, high: int) -> int | None:
    value = document.get(name)
    return None if value is None else whole_number(name, value, low, high)


def _check_common(document: Document, caps: Caps) -> tuple[bool, bool, int]:
    """(stream, wants_usage, n)."""
    stream = document.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise wrong("stream", "`stream` must be true or false", got=stream)
    options = document.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise wrong("stream_options", "`stream_options` must be an object", got=options)
    for name, (low, high) in _NUMBERS.items():
        value = document.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high
        ):
            raise wrong(name, f"`{name}` must be a number between {low:g} and {high:g}", got=value)
    n = _check_int(document, "n", 1, caps.choices) or 1
    return bool(stream), bool(options and options.get("include_usage")), n


class _Counter:
    """Sums up what the messages hold."""

    __slots__ = ("images", "kinds", "text_bytes", "texts")

    def __init__(self) -> None:
        self.text_bytes = 0
        self.images = 0
        self.texts: list[str] = []
        self.kinds: set[str] = set()

    def text(self, text: str) -> None:
        """Count one text."""
        self.text_bytes += len(text) if text.isascii() else _text_bytes(text)
        self.texts.append(text)

    def part(self, part: object, where: str) -> None:
        """Count one content part."""
        if not isinstance(part, dict):
            raise wrong(where, f"`{where}` must be a list of objects", got=part)
        kind = part.get("type")
        text = part.get("text")
        if kind is not None and not isinstance(kind, str):
            raise wrong(f"{where}.type", f"`{where}.type` must be a string", got=kind)
        self.kinds.add(kind or "text")
        if kind in ("image_url", "input_image", "image"):
            self.images += 1
        elif isinstance(text, str):
            self.text(text)
        elif kind == "text":
            raise wrong(where, f"`{where}.text` must be a string", got=text)


def _count_messages(messages: object, caps: Caps) -> _Counter:
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "`messages` must be a non-empty list", got=messages)
    if len(messages) > caps.messages:
        raise wrong("messages", f"`messages` must have at most {caps.messages} entries")
    counter = _Counter()
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong(f"messages[{index}]", f"`messages[{index}]` must be an object", got=message)
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise wrong(f"messages[{index}].role", f"`role` must be one of {', '.join(sorted(_ROLES))}", got=role)
        content = message.get("content")
        if isinstance(content, str):
            counter.text(content)
        elif isinstance(content, list):
            for part in content:
                counter.part(part, f"messages[{index}].content")
        elif content is not None:
            raise wrong(f"messages[{index}].content", "`content` must be a string or a list", got=content)
    return counter


def _count_prompt(prompt: object, name: str) -> _Counter:
    """`prompt` or `input`: a text, a list of texts, or token ids."""
    counter = _Counter()
    items = prompt if isinstance(prompt, list) else [prompt]
    if not items:
        raise wrong(name, f"`{name}` must not be empty")
    for item in items:
        if isinstance(item, str):
            counter.text(item)
        elif isinstance(item, int) and not isinstance(item, bool):
            counter.text_bytes += 4  # a token id
        elif isinstance(item, list) and item and all(type(token) is int for token in item):
            counter.text_bytes += 4 * len(item)
        else:
            raise wrong(name, f"`{name}` must be a string, a list of strings or token ids", got=item)
    return counter


def _tools(document: Document, caps: Caps) -> tuple[int, int]:
    """(how many, their bytes)."""
    tools = document.get("tools")
    if tools is None:
        return 0, 0
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise wrong("tools", "`tools` must be a list of objects")
    if len(tools) > caps.tools:
        raise wrong("tools", f"`tools` must have at most {caps.tools} entries")
    return len(tools), len(orjson.dumps(tools)) if tools else 0


def _wants_json(document: Document) -> bool:
    wanted = document.get("response_format")
    if wanted is None:
        return False
    if not isinstance(wanted, dict):
        raise wrong("response_format", "`response_format` must be an object", got=wanted)
    return wanted.get("type") in ("json_object", "json_schema")


def _word(headers: HeaderMap, header_name: bytes, document: Document, name: str) -> str | None:
    """An explicit task or complexity: header first, then `metadata`."""
    header = headers.get(header_name)
    if header is not None:
        return header.decode("latin-1").strip().lower()
    metadata = document.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise wrong("metadata", "`metadata` must be an object", got=metadata)
    value = metadata.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong(f"metadata.{name}", f"`metadata.{name}` must be a string", got=value)
    return None if value is None else value.strip().lower()


def decode(operation: Operation, headers: HeaderMap, body: bytes, tenant: str, caps: Caps) -> Decoded:
    """A request in OpenAI's words, checked, with its facts."""
    return with_facts(operation, parse(body, caps), headers, tenant, caps)


def with_facts(
    operation: Operation,
    document: Document,
    headers: HeaderMap,
    tenant: str,
    caps: Caps,
    *,
    native: Document | None = None,
    native_only: str | None = None,
    dropped: tuple[str, ...] = (),
    asked: Document | None = None,
) -> Decoded:
    """The document, checked, with its facts; a caller of another dialect is always told the usage."""
    model = document.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= caps.name_chars:
        raise wrong("model", f"`model` must be a string of 1 to {caps.name_chars} characters", got=model)
    stream, wants_usage, n = _check_common(document, caps)
    engine_limits.check(document, caps)
    max_tokens, tool_count, tool_bytes, messages = None, 0, 0, 1
    if operation is Operation.CHAT or operation is Operation.COUNT_TOKENS:
        counter = _count_messages(document.get("messages"), caps)
        messages = len(document["messages"])
        tool_count, tool_bytes = _tools(document, caps)
        max_tokens = _check_int(document, "max_completion_tokens", 1, caps.tokens)
    else:
        name = "prompt" if operation is Operation.COMPLETION else "input"
        counter = _count_prompt(document.get(name), name)
    if max_tokens is None:
        max_tokens = _check_int(document, "max_tokens", 1, caps.tokens)
    if stream and operation is Operation.EMBEDDINGS:
        raise wrong("stream", "`stream` must not be set for embeddings")
    facts = RequestFacts(
        operation=operation,
        requested_model=model,
        explicit_task=_word(headers, b"x-spillway-task", document, "task"),
        explicit_complexity=_word(headers, b"x-spillway-complexity", document, "complexity"),
        text_bytes=counter.text_bytes + tool_bytes,
        message_count=messages,
        image_count=counter.images,
        tool_count=tool_count,
        json_output=_wants_json(document),
        max_tokens=max_tokens,
        prefixes=prefixes(tenant, counter.texts),
        tenant=tenant,
        stream=stream,
        spill_allowed=wishes.spill_allowed(headers),
        deadline_s=wishes.deadline_s(headers),
        answer_within_s=wishes.answer_within_s(headers),
        max_cost_nanousd=wishes.max_cost_nanousd(headers),
        priority=wishes.priority(headers),
        client_retries=wishes.client_retries(headers),
    )
    return Decoded(
        operation=operation,
        document=document,
        facts=facts,
        wants_usage=wants_usage or native is not None,
        n=n,
        native=native,
        native_only=native_only,
        dropped=dropped,
        asked=asked,
        part_kinds=frozenset(counter.kinds),
        resume=wishes.resume(headers),
    )
