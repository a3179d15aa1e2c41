"""One answer, written down while it is made, that any number of callers hear from its beginning.

Who makes it does not wait for who listens, until more is kept than one answer may take: then its beginning goes as soon
as those who listen have it, nobody can join any more, and who makes it waits for the slowest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from controller.core.errors import RequestError
from controller.gateway.answers import Headers
from controller.gateway.guard import CallerLeft
from controller.gateway.ports import Line

_RETRYABLE = frozenset({408, 409, 429})


class _Listener:
    """A caller who hears it: the number of the chunk needed next, and what wakes it."""

    __slots__ = ("at", "line", "waiting")

    def __init__(self, line: Line, at: int) -> None:
        self.line = line
        self.at = at
        self.waiting: asyncio.Future[None] | None = None
        line.on_gone = self.wake

    async def news(self) -> None:
        """Returns when there is some; CallerLeft when the caller has left."""
        if not self.line.gone:
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting
        if self.line.gone:
            raise CallerLeft

    def wake(self) -> None:
        """There is news: more of the answer, or the caller has left."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


class Recording:
    """The answer to one request. `digest` is that of the request."""

    __slots__ = (
        "_begun",
        "_chunks",
        "_first",
        "_idle_s",
        "_limit_bytes",
        "_listeners",
        "_room",
        "digest",
        "ended",
        "headers",
        "kept_bytes",
        "refusal",
        "status",
        "whole",
    )

    def __init__(self, digest: bytes, limit_bytes: int, idle_s: float) -> None:
        self.digest = digest
        self.status = 0
        self.headers: Headers = []
        self.refusal: RequestError | None = None  # instead of an answer
        self.ended = False
        self.whole = True  # its beginning is still there
        self.kept_bytes = 0
        self._limit_bytes = limit_bytes
        self._idle_s = idle_s
        self._chunks: list[bytes] = []
        self._begun = False  # the first bytes are there
        self._first = 0  # number of the first chunk that is kept
        self._listeners: set[_Listener] = set()
        self._room: asyncio.Future[None] | None = None

    @property
    def frees_its_key(self) -> bool:
        """It ended in a refusal that may go another way next time: nothing was bought."""
        return self.status == 0 or self.status >= 500 or self.status in _RETRYABLE

    # who makes it
    def begin(self, status: int, headers: Headers) -> None:
        """The head; nobody is told before the first bytes, as it helps nobody alone."""
        self.status, self.headers = status, headers

    def write(self, body: bytes, *, more: bool) -> bool:
        """More of it; False when who makes it must wait in `room` before the next."""
        self._begun = True
        if body:
            self._chunks.append(body)
            self.kept_bytes += len(body)
        self.ended = not more
        self._tell()
        if self.kept_bytes <= self._limit_bytes or self.ended:
            return True
        self._forget()
        return self.kept_bytes <= self._limit_bytes

    async def room(self) -> None:
        """Returns when those who listen have enough of it."""
        while self.kept_bytes > self._limit_bytes:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
            self._forget()

    def refuse(self, error: RequestError) -> None:
        """There will be no answer, or no more of it."""
        self.refusal, self.ended = error, True
        self._tell()

    def _forget(self) -> None:
        """What every listener has had goes, and with it the beginning."""
        self.whole = False
        needed = min((listener.at for listener in self._listeners), default=self._first + len(self._chunks))
        gone = self._chunks[: needed - self._first]
        del self._chunks[: needed - self._first]
        self._first = needed
        self.kept_bytes -= sum(map(len, gone))

    def _tell(self) -> None:
        for listener in self._listeners:
            listener.wake()

    # who listens
    async def play(self, line: Line, extra: Headers) -> None:
        """Afterwards the caller has heard all of it; RequestError when there is none, CallerLeft when it was cut."""
        listener = _Listener(line, self._first)
        self._listeners.add(listener)
        try:
            while not (self._begun or self.ended):
                await listener.news()
            if not self._begun:
                raise self.refusal or CallerLeft()
            line.begin(self.status, [*self.headers, *extra])
            await self._play_body(listener)
        finally:
            line.on_gone = None
            self._listeners.discard(listener)
            self._make_room()

    async def _play_body(self, listener: _Listener) -> None:
        line = listener.line
        while True:
            body = b"".join(self._chunks[listener.at - self._first :])
            listener.at = self._first + len(self._chunks)
            if self.refusal is not None:
                raise CallerLeft
            ended = self.ended
            if not line.write(body, more=not ended):
                await self._taken(line)
            if ended:
                return
            self._make_room()
            while listener.at == self._first + len(self._chunks) and not self.ended:
                await listener.news()

    async def _taken(self, line: Line) -> None:
        try:
            async with asyncio.timeout(self._idle_s):
                await line.writable()
        except TimeoutError:
            raise CallerLeft from None

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)


class RecordedLine:
    """Satisfies `gateway.ports.Line`: a caller who has sent its body, never leaves, and writes down what it hears."""

    __slots__ = ("_body", "_recording", "headers", "method", "on_gone", "path")

    def __init__(self, line: Line, body: bytes, recording: Recording) -> None:
        self.method, self.path, self.headers = line.method, line.path, line.headers
        self.on_gone: Callable[[], None] | None = None
        self._body = body
        self._recording = recording

    @property
    def gone(self) -> bool:
        """Never."""
        return False

    def whole_body(self) -> bytes | None:
        """All of it."""
        return self._body

    async def more(self) -> bytes | None:
        """Nothing is left to come."""
        return b""

    def begin(self, status: int, headers: Headers) -> None:
        """The head of the answer."""
        self._recording.begin(status, headers)

    def write(self, body: bytes, *, more: bool) -> bool:
        """More of it; False when those who listen are slow."""
        return self._recording.write(body, more=more)

    async def writable(self) -> None:
        """Returns when those who listen have enough of it."""
        await self._recording.room()
