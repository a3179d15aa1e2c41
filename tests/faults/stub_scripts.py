"""What stubs do with a call: answer in the dialect they were asked in, or fail in one of the ways upstreams fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from tests.faults.stub import Exchange, Script

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def sse(document: object, event: str | None = None) -> bytes:
    """One event."""
    name = b"" if event is None else b"event: %b\n" % event.encode()
    return name + b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def whole_http(body: bytes, *, status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    """An answer of known length; underscores of header names stand for dashes."""
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def events(exchange: Exchange, tokens: int, *, usage: bool = True, done: bool = True) -> Sequence[bytes]:
    """A whole streamed answer: what leads in, one event per token, what leads out."""
    if exchange.call.is_anthropic:
        return _anthropic_events(exchange, tokens)
    words, name = exchange.stub.word, exchange.stub.name
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": name}
    made = [sse({**head, "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]})]
    made += [
        sse({**head, "choices": [{"index": 0, "delta": {"content": words(number)}, "finish_reason": None}]})
        for number in range(tokens)
    ]
    made.append(sse({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    if usage:
        made.append(sse({**head, "choices": [], "usage": usage_of(tokens, exchange.call.input_tokens)}))
    return [*made, DONE] if done else made


def _anthropic_events(exchange: Exchange, tokens: int) -> Sequence[bytes]:
    usage = {"input_tokens": exchange.call.input_tokens, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": exchange.stub.name}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    made = [sse({"type": "message_start", "message": {**message, "usage": usage}}, "message_start")]
    made.append(sse(block, "content_block_start"))
    for number in range(tokens):
        delta = {"type": "text_delta", "text": exchange.stub.word(number)}
        made.append(sse({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta"))
    made.append(sse({"type": "content_block_stop", "index": 0}, "content_block_stop"))
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": tokens}}
    return [*made, sse(end, "message_delta"), sse({"type": "message_stop"}, "message_stop")]


def usage_of(tokens: int, input_tokens: int) -> dict[str, int]:
    """Usage in OpenAI's shape."""
    return {"prompt_tokens": input_tokens, "completion_tokens": tokens, "total_tokens": input_tokens + tokens}


def whole_answer(exchange: Exchange, tokens: int) -> bytes:
    """A whole unary answer in the dialect of the call."""
    text = "".join(exchange.stub.word(number) for number in range(tokens))
    name, input_tokens = exchange.stub.name, exchange.call.input_tokens
    if exchange.call.is_anthropic:
        usage = {"input_tokens": input_tokens, "output_tokens": tokens}
        content = [{"type": "text", "text": text}]
        message = {"id": "m", "type": "message", "role": "assistant", "content": content, "model": name}
        return json.dumps({**message, "stop_reason": "end_turn", "usage": usage}).encode()
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": name}
    return json.dumps({**head, "choices": [choice], "usage": usage_of(tokens, input_tokens)}).encode()


def answer(*, tokens: int = 5, gap_s: float = 0.0, first_after_s: float = 0.0, head_after_s: float = 0.0) -> Script:
    """A proper answer at a pace; a token counts as made when its event leaves, of a unary one as time goes by."""

    async def script(exchange: Exchange) -> None:
        call = exchange.call
        await asyncio.sleep(head_after_s)
        if not call.stream:
            await asyncio.sleep(first_after_s)
            for _ in range(tokens):
                call.made_tokens += 1
                await asyncio.sleep(gap_s)
            await exchange.write(whole_http(whole_answer(exchange, tokens)))
            call.told = True
            return
        made = events(exchange, tokens)
        lead = 2 if call.is_anthropic else 1
        await exchange.write(STREAM_HEAD)
        await exchange.chunk(b"".join(made[:lead]))
        await asyncio.sleep(first_after_s)
        for event in made[lead : lead + tokens]:
            call.made_tokens += 1
            if call.left_s is None:
                await exchange.chunk(event)
            await asyncio.sleep(gap_s)
        if call.left_s is None:
            await exchange.chunk(b"".join(made[lead + tokens :]))
            call.told = True
            await exchange.write(LAST_CHUNK)

    return script


def flood(event_bytes: int, *, gap_s: float) -> Script:
    """A stream of large events without end, each a token, for readers who are not judged by what they read."""
    event = sse({"choices": [{"index": 0, "delta": {"content": "x" * event_bytes}, "finish_reason": None}]})

    async def script(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        while True:
            await exchange.chunk(event)
            exchange.call.made_tokens += 1
            await asyncio.sleep(gap_s)

    return script


def by_kind(*, stream: Script, unary: Script) -> Script:
    """One script for streams, one for the others."""

    async def script(exchange: Exchange) -> None:
        await (stream if exchange.call.stream else unary)(exchange)

    return script


def refuse(status: int, message: str = "no", **headers: str) -> Script:
    """An error status in the dialect of the call."""

    async def script(exchange: Exchange) -> None:
        error: dict[str, object] = {"type": "error", "error": {"type": "overloaded_error", "message": message}}
        if not exchange.call.is_anthropic:
            error = {"error": {"message": message, "type": "server_error", "param": None, "code": status}}
        await exchange.write(whole_http(json.dumps(error).encode(), status=status, **headers))

    return script


def raw(data: bytes, *, then: str = "keep") -> Script:
    """Exactly these bytes; then `keep`, `close` or `reset` the connection, or `hold` it for ever."""

    async def script(exchange: Exchange) -> None:
        if data:
            await exchange.write(data)
        if then == "hold":
            await asyncio.Event().wait()
        elif then == "reset":
            await asyncio.sleep(0.02)  # for the bytes to arrive before the reset throws them away
            exchange.reset()
        elif then == "close":
            exchange.close()

    return script


def hang() -> Script:
    """Takes the request and says nothing, for ever."""
    return raw(b"", then="hold")


def stall(after_tokens: int, *, comments_every_s: float | None = None) -> Script:
    """A stream that stops after some tokens, its connection open; with comments it still sends bytes."""

    async def script(exchange: Exchange) -> None:
        made = events(exchange, after_tokens)
        await exchange.write(STREAM_HEAD)
        for event in made[: 1 + after_tokens]:
            await exchange.chunk(event)
        exchange.call.made_tokens = after_tokens
        while comments_every_s is not None:
            await asyncio.sleep(comments_every_s)
            await exchange.chunk(b": still here\n\n")
        await asyncio.Event().wait()

    return script


def recorded(exchange: Exchange, tokens: int) -> bytes:
    """The bytes of a whole streamed answer on the wire, one chunk per event."""
    parts = [b"%x\r\n%b\r\n" % (len(event), event) for event in events(exchange, tokens)]
    return STREAM_HEAD + b"".join(parts) + LAST_CHUNK


def cut_after(size_bytes: int, tokens: int, *, then: str = "reset") -> Script:
    """The first bytes of a recorded stream, then a reset or a close."""

    async def script(exchange: Exchange) -> None:
        data = recorded(exchange, tokens)
        exchange.call.made_tokens = tokens
        exchange.call.told = b'"usage":{' in data[:size_bytes].rpartition(b"\n\n")[0]
        await raw(data[:size_bytes], then=then)(exchange)

    return script
