"""A stream whose chunks are rewritten in the caller's dialect on their way; the same surface as the stream within."""

from __future__ import annotations

import orjson

from controller.core.errors import RequestError, StreamBroken
from controller.gateway.anthropic_stream import AnthropicStream
from controller.gateway.dialects.caller import StreamWriter
from controller.gateway.event_streams import OuterStream
from controller.gateway.openai_wire import MISSHAPEN, OpenAIStream
from controller.gateway.resumable_stream import ResumableStream


class TranslatedStream(OuterStream):
    """Reads an upstream through `inner`, which speaks chat chunks, and writes through `writer`."""

    __slots__ = ("_inner", "_writer")

    def __init__(self, inner: OpenAIStream | AnthropicStream | ResumableStream, writer: StreamWriter) -> None:
        super().__init__(inner)
        self._inner = inner
        self._writer = writer

    def feed(self, chunk: bytes) -> bytes:
        """What the caller gets for these bytes."""
        return self._rewritten(self._inner.feed(chunk))

    def end(self) -> bytes:
        """The closing events when the answer is whole, else nothing and `error` is set."""
        rest = self._rewritten(self._inner.end())
        if self._inner.error is not None:
            return rest
        try:
            return rest + self._writer.end()
        except MISSHAPEN as error:  # what was written down of an odd chunk shows now
            return self._misshapen(error)

    def broken(self, error: RequestError) -> bytes | None:
        """What ends the caller's stream when it broke; None when that is the dialect's error event."""
        return self._writer.broken(error)

    def _rewritten(self, chunks: bytes) -> bytes:
        if not chunks:
            return b""
        try:
            return b"".join(
                [self._writer.write(orjson.loads(data)) for data in self._splitter.feed(chunks) if data != b"[DONE]"]
            )
        except MISSHAPEN as error:
            return self._misshapen(error)

    def _misshapen(self, error: Exception) -> bytes:
        self._inner.error = StreamBroken(f"a chunk is not one of a chat stream: {type(error).__name__}")
        return b""
