"""An own engine's chat or completion stream that remembers its token ids, so that another engine can go on with it.

The ids are taken out before anything else sees the chunks. After `switch()` the chunks are those of a completion that
continues the answer; they are worded as the first engine worded its own.
"""

from __future__ import annotations

import orjson

from controller.core.errors import StreamBroken
from controller.core.requests import Operation
from controller.gateway.decode import Decoded
from controller.gateway.event_streams import OuterStream
from controller.gateway.json_body import Document
from controller.gateway.openai_wire import OpenAIStream, is_given_up
from controller.gateway.sse import EventTooLarge, Splitter, encode

ASK_FOR_IDS = "return_token_ids"
INPUT_TOKENS_MAX = 65_536  # the ids of a longer prompt do not fit the cap on one event
# Everything else a caller may ask for either shapes the text (tools, JSON, stop texts, which hold text back) or counts
# what was said apart from the prompt (penalties, min_tokens): going on would not be exact.
_PLAIN = frozenset(
    [
        "model",
        "messages",
        "prompt",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "n",
        "user",
        "metadata",
        "ignore_eos",
        "stop_token_ids",
        "allowed_token_ids",
        "logit_bias",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "add_generation_prompt",
        "continue_final_message",
    ]
)


def is_resumable(decoded: Decoded) -> bool:
    """Whether an answer to this can be continued exactly: a plain text stream, greedy or with the caller's leave."""
    document = decoded.document
    asked = {name for name, value in document.items() if value is not None}
    return (
        decoded.facts.stream
        and decoded.n == 1
        and decoded.resume is not False
        and (decoded.resume is True or document.get("temperature") == 0)
        and asked <= _PLAIN
        and isinstance(document.get("prompt", ""), str)
        and decoded.facts.image_count == 0
        and decoded.facts.text_bytes <= INPUT_TOKENS_MAX
    )


def with_ids(body: bytes) -> bytes:
    """The request, a JSON object that is not empty, asking for token ids too."""
    start = body.index(b"{") + 1
    return b'%s"%s":true,%s' % (body[:start], ASK_FOR_IDS.encode(), body[start:])


class ResumableStream(OuterStream):
    """The same surface as `openai_wire.OpenAIStream`, which it feeds."""

    __slots__ = ("_head", "_inner", "_is_chat", "_plain", "_prompt_ids", "_said", "_said_ids", "_switched")

    def __init__(self, inner: OpenAIStream, operation: Operation) -> None:
        super().__init__(inner)
        self._inner = inner
        self._is_chat = operation is Operation.CHAT
        self._head: Document = {}
        self._prompt_ids: list[int] | None = None
        self._said_ids: list[int] = []
        self._said: list[str] = []
        self._plain = True
        self._switched = False

    def feed(self, chunk: bytes) -> bytes:
        """What the caller gets for these bytes."""
        out: list[bytes] = []
        try:
            events = self._splitter.feed(chunk)
        except EventTooLarge as error:
            self._inner.error = StreamBroken(str(error))
            return b""
        for data in events:
            out.append(self._inner.feed(self._without_ids(data)))
            if self._inner.done or self._inner.error is not None:
                break
        return b"".join(out)

    def end(self) -> bytes:
        """As the stream within."""
        return self._inner.end()

    def _without_ids(self, data: bytes) -> bytes:
        if b"token_ids" not in data and not self._switched:
            return encode(data)
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return encode(data)
        if not isinstance(chunk, dict) or chunk.get("error") or is_given_up(chunk):
            return encode(data)
        self._learn(chunk)
        return encode(orjson.dumps(self._reworded(chunk) if self._switched else chunk))

    def _learn(self, chunk: Document) -> None:
        prompt_ids = chunk.pop("prompt_token_ids", None)
        for choice in chunk.get("choices") or ():
            prompt_ids = choice.pop("prompt_token_ids", None) or prompt_ids  # completions have them here
            self._said_ids.extend(choice.pop("token_ids", None) or ())
            delta = choice.get("delta") or {}
            self._said.append((delta.get("content") if "delta" in choice else choice.get("text")) or "")
            self._plain = self._plain and not any(
                delta.get(name) for name in ("tool_calls", "function_call", "refusal", "reasoning", "reasoning_content")
            )
        if self._prompt_ids is None and prompt_ids:
            self._prompt_ids = list(prompt_ids)
        if not self._switched:
            self._head = {name: chunk[name] for name in ("id", "object", "created", "model") if name in chunk}

    def _reworded(self, chunk: Document) -> Document:
        """A chunk of the continuation as the first engine would have said it; its counts are those of one call."""
        made: Document = {**self._head, "choices": []}
        for choice in chunk.get("choices") or ():
            kept = {name: choice.get(name) for name in ("index", "finish_reason", "stop_reason") if name in choice}
            text = choice.get("text") or ""
            made["choices"].append({**kept, "delta": {"content": text}} if self._is_chat else {**kept, "text": text})
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            prompt, said = len(self._prompt_ids or ()), len(self._said_ids)
            made["usage"] = {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}
        return made

    # going on
    @property
    def can_switch(self) -> bool:
        """Whether all that the next engine must know is known."""
        return self._plain and bool(self._prompt_ids) and bool(self._said_ids) and not self._inner.done

    @property
    def said(self) -> str:
        """The answer so far."""
        return "".join(self._said)

    @property
    def said_ids(self) -> list[int]:
        """Its tokens."""
        return self._said_ids

    @property
    def input_tokens(self) -> int:
        """What the next engine has to compute: the prompt and the answer so far."""
        return len(self._prompt_ids or ()) + len(self._said_ids)

    def continuation(self, request: bytes, context_tokens: int) -> bytes | None:
        """The body of the completion that goes on, made from the first request's; None when no token is left to say."""
        body: Document = orjson.loads(request)
        limit = body.pop("max_completion_tokens", None) or body.get("max_tokens")
        left = context_tokens - self.input_tokens
        if limit is not None:
            left = min(left, limit - len(self._said_ids))
        if left < 1:
            return None
        for name in ("messages", "add_generation_prompt", "continue_final_message"):
            body.pop(name, None)
        body["prompt"] = [*(self._prompt_ids or ()), *self._said_ids]
        body["max_tokens"] = left
        body["stream_options"] = {"include_usage": True}
        body[ASK_FOR_IDS] = True
        return orjson.dumps(body)

    def switch(self) -> None:
        """From now on the chunks are those of the continuation."""
        self._switched = True
        self._splitter = Splitter()
        self._inner.error = None
