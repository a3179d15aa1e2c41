"""Moves one answer from an upstream to the caller: whole, or chunk by chunk, deciding when the first byte goes out.

Until the caller has got a byte every failure is an UpstreamError, so that `dispatch` may try elsewhere. After it, a
broken stream ends in an explicit error event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parsedate_to_datetime

from controller.core.errors import (
    EngineUnavailable,
    RequestError,
    StreamBroken,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from controller.gateway.answers import Headers
from controller.gateway.destinations import Stream
from controller.gateway.guard import CallerLeft, Guard
from controller.gateway.ports import Line, UpstreamResponse

ERROR_BODY_BYTES = 64 * 1024
KEPT_ERROR_BYTES = 4096
_WITH_KEYS = frozenset({"authorization", "x-api-key"})


def retry_after_s(response: UpstreamResponse, now_unix_s: float) -> float | None:
    """The upstream's wish in seconds, from any of the three forms in use; None when there is none that makes sense."""
    headers = response.headers
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            seconds = float(milliseconds) / 1000.0
        elif value is None:
            return None
        elif value.strip()[:1].isdigit():
            seconds = float(value)
        else:
            seconds = parsedate_to_datetime(value).timestamp() - now_unix_s
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds if 0.0 <= seconds < 1e10 else None


async def read_whole(response: UpstreamResponse, limit_bytes: int | None = None) -> bytes:
    """The body, or its beginning when it is longer than the limit."""
    first = await response.read()
    if not first:
        return b""
    chunks, size_bytes = [first], len(first)
    while limit_bytes is None or size_bytes < limit_bytes:
        chunk = await response.read()
        if not chunk:
            break
        chunks.append(chunk)
        size_bytes += len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def refuse_errors(response: UpstreamResponse, now_unix_s: float) -> None:
    """UpstreamRejected unless it answered 200."""
    if response.status != 200:
        body = await read_whole(response, ERROR_BODY_BYTES)
        raise UpstreamRejected(response.status, body, retry_after_s(response, now_unix_s))


def without_keys(error: UpstreamError, sent: Sequence[tuple[str, str]]) -> UpstreamError:
    """The same error, shortened. `sent`: the headers of its call; a key among them that came back with the words of
    the error, whole answer or event of a stream, is not told on.
    """
    if isinstance(error, UpstreamRejected):
        for name, value in sent:
            if name in _WITH_KEYS:
                error.body = error.body.replace(value.removeprefix("Bearer ").encode(), b"***")
        error.body = error.body[:KEPT_ERROR_BYTES]
    return error


async def until_content(response: UpstreamResponse, stream: Stream) -> bytes:
    """What the caller gets first; raises while it is still possible to go elsewhere."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise EngineUnavailable("answered 200 without an event stream")
    held: list[bytes] = []
    while not (stream.content_seen or stream.done):
        chunk = await response.read()
        if chunk:
            held.append(stream.feed(chunk))
        else:
            stream.end()
            if stream.error is None:
                break
        if stream.error is not None:
            if isinstance(stream.error, StreamBroken):
                raise EngineUnavailable(str(stream.error)) from stream.error
            raise stream.error
    return b"".join(held)


class StreamRelay:
    """The part of a stream after its head went out."""

    __slots__ = ("_error_event", "_full", "_guard", "_line", "_response", "_resume", "_stream", "sending")

    def __init__(
        self,
        response: UpstreamResponse,
        stream: Stream,
        guard: Guard,
        line: Line,
        error_event: Callable[[UpstreamError | RequestError], bytes],
        *,
        resume: Callable[[UpstreamError], Awaitable[UpstreamResponse | None]] | None = None,
    ) -> None:
        self._response = response
        self._stream = stream
        self._guard = guard
        self._line = line
        self._error_event = error_event
        self._resume = resume
        self._full = False  # the caller has not taken enough of what was written
        self.sending = False

    async def begin(self, headers: Headers, first: bytes) -> None:
        """Afterwards the caller has the head and the first event."""
        self._guard.hang_up = self._hang_up
        self._line.begin(200, headers)
        if not self._line.write(first, more=True):
            await self._line.writable()
        self._guard.progress()

    def _hang_up(self) -> None:
        self._response.hang_up()

    async def rest(self) -> UpstreamError | None:
        """Everything else, to its proper end or to an error event, which is returned."""
        stream = self._stream
        tail = await self._to_the_end()
        while stream.error is not None and self._resume is not None:
            self._guard.settle()  # the dead engine's silence is over
            try:
                response = await self._resume(stream.error)
            except asyncio.CancelledError as cancelled:
                stream.error, response = self._expired(cancelled), None
            if response is None:
                break
            await self._response.close()
            self._response = response
            stream.error = None
            self._guard.progress()
            tail = await self._to_the_end()
        if stream.error is not None:
            tail = self._error_event(stream.error)
        if not self._line.write(tail, more=False):
            await self._line.writable()
        return stream.error

    async def close(self, *, finished: bool) -> None:
        """Afterwards whoever answered last knows that nobody listens."""
        await self._response.close(finished=finished)

    async def _to_the_end(self) -> bytes:
        """What to send last; the stream has its error when it broke."""
        try:
            tail = await self._events()
        except UpstreamError as error:
            tail, self._stream.error = b"", error
        except asyncio.CancelledError as cancelled:
            why = self._expired(cancelled)
            if self.sending:  # the caller has not taken a byte for that long: nobody is there to be told
                raise CallerLeft from why
            tail, self._stream.error = b"", why
        if self._guard.left:  # whatever came after the upstream was hung up on is no fault of it
            raise CallerLeft
        return tail

    def _expired(self, cancelled: asyncio.CancelledError) -> UpstreamTimeout:
        """The timeout behind a cancellation; anything else behind it goes on, and is told to a caller who is there."""
        try:
            return self._guard.timed_out(cancelled)
        except RequestError as why:
            self._line.write(self._error_event(why), more=False)
            raise

    async def _events(self) -> bytes:
        """Relays until the stream's end; returns what to send last."""
        stream = self._stream
        more = True
        while more and not stream.done:
            more = await self._response.pump(self._take)
            if stream.error is not None:
                return b""
            if self._full:
                self.sending = True
                await self._line.writable()
                self.sending = self._full = False
        return stream.end()

    def _take(self, chunk: bytes) -> bool:
        """Relays one read; False when the request has to look itself: at the end, or when the caller is slow."""
        stream = self._stream
        out = stream.feed(chunk)
        if out:
            self._guard.progress()
            self._full = not self._line.write(out, more=True)
        return not (self._full or stream.done or stream.error is not None)
