"""A mock upstream that answers OpenAI chat, unary and streamed, as fast as one Python process can.

Far faster than any gateway under test, so that what is measured is the gateway. `max_tokens` sets the number of
events of a stream, one every `--gap-s`. Each event says when it was written, in microseconds of the machine's monotonic
clock, so that a client on the same machine knows how long it took. `GET /mock/stats`: how many streams are open.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import time
from typing import cast

import uvloop

GAP_S = 0.05
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
MAX_TOKENS = re.compile(rb'"max_tokens": ?(\d+)')
STREAM = re.compile(rb'"stream": ?true')
BODY = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Paris is the capital of France."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":24,"completion_tokens":8,"total_tokens":32}}'
)
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
UNARY = JSON_HEAD % len(BODY) + BODY
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
    b'"choices":[{"index":0,"delta":%s,"finish_reason":%s}]%s}\n\n'
)


def _frame(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


STAMP_DIGITS = 16
TOKEN = _frame(CHUNK % (b'{"content":" @%s"}', b"null", b"") % (b"0" * STAMP_DIGITS))
STAMP_AT = TOKEN.index(b" @") + 2
TOKEN_START, TOKEN_END = TOKEN[:STAMP_AT], TOKEN[STAMP_AT + STAMP_DIGITS :]
LAST = (
    _frame(CHUNK % (b"{}", b'"stop"', b""))
    + _frame(
        b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
        b'"choices":[],"usage":{"prompt_tokens":24,"completion_tokens":8,"total_tokens":32}}\n\n'
    )
    + _frame(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


def _token() -> bytes:
    """One event with the time of now in it."""
    return b"%s%016d%s" % (TOKEN_START, time.monotonic_ns() // 1000, TOKEN_END)


class Mock(asyncio.Protocol):
    """One connection; HTTP/1.1 with content-length bodies, keep-alive."""

    open_streams = 0
    requests = 0
    gap_s = GAP_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._buffer = b""
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._buffer = self._buffer + data if self._buffer else data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = CONTENT_LENGTH.search(self._buffer, 0, head_end + 2)
            end = head_end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < end:
                return
            request, self._buffer = self._buffer[:end], self._buffer[end:]
            self._answer(request, head_end)

    def _answer(self, request: bytes, head_end: int) -> None:
        if request.startswith(b"GET /mock/stats"):
            body = b'{"open_streams":%d,"requests":%d}' % (Mock.open_streams, Mock.requests)
            self._transport.write(JSON_HEAD % len(body) + body)
            return
        if request.startswith(b"GET"):
            self._transport.write(UNARY)
            return
        Mock.requests += 1
        if not STREAM.search(request, head_end):
            self._transport.write(UNARY)
            return
        tokens = MAX_TOKENS.search(request, head_end)
        self._left = int(tokens[1]) if tokens else 16
        Mock.open_streams += 1
        self._transport.write(STREAM_HEAD + _token())
        first_gap_s = Mock.gap_s * (0.5 + random.random())  # so that streams begun together do not tick together
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + first_gap_s
        self._timer = loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        self._left -= 1
        if self._left > 0:
            self._transport.write(_token())
            self._due_s += Mock.gap_s  # not from now on: streams that once ticked late together would do so for ever
            self._timer = asyncio.get_running_loop().call_at(self._due_s, self._tick)
            return
        self._timer = None
        Mock.open_streams -= 1
        self._transport.write(LAST)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: an open stream is free at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            Mock.open_streams -= 1


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gap-s", type=float, default=GAP_S, help="seconds between the events of a stream")
    options = parser.parse_args()
    Mock.gap_s = options.gap_s
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", options.port, backlog=8192)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
