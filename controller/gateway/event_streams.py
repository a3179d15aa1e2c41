"""What the readers of event streams share: those that read an upstream's bytes, and those that stand around another.

Whoever relays a stream asks for `feed`, `end` and the five facts: usage, content_seen, content_events, done, error.
"""

from __future__ import annotations

from typing import Protocol

from controller.core.errors import StreamBroken, UpstreamError
from controller.core.money import Usage
from controller.gateway.sse import EventTooLarge, Splitter


class EventReader:
    """Reads bytes event by event and learns the facts; a dialect says in `_event` what becomes of one."""

    __slots__ = ("_splitter", "content_events", "content_seen", "done", "error", "usage")

    def __init__(self) -> None:
        self._splitter = Splitter()
        self.usage: Usage | None = None
        self.content_seen = False
        self.content_events = 0
        self.done = False
        self.error: UpstreamError | None = None

    def feed(self, chunk: bytes) -> bytes:
        """What the caller gets for these bytes; after `done` or `error` nothing more."""
        try:
            events = self._splitter.feed(chunk)
        except EventTooLarge as error:
            self.error = StreamBroken(str(error))
            return b""
        out: list[bytes] = []
        for data in events:
            self._event(data, out)
            if self.done or self.error is not None:
                break
        return b"".join(out)

    def _event(self, data: bytes, out: list[bytes]) -> None:
        """Adds what the caller gets for one event; sets the facts."""
        raise NotImplementedError


class Facts(Protocol):
    """The facts of a stream."""

    error: UpstreamError | None

    @property
    def usage(self) -> Usage | None:
        """What the upstream said that it used."""
        ...

    @property
    def content_seen(self) -> bool:
        """Something that the caller would see has come."""
        ...

    @property
    def content_events(self) -> int:
        """How many events carried content."""
        ...

    @property
    def done(self) -> bool:
        """The answer is whole."""
        ...


class OuterStream:
    """Stands around another stream, whose facts are its own."""

    __slots__ = ("_facts", "_splitter")

    def __init__(self, inner: Facts) -> None:
        self._facts = inner
        self._splitter = Splitter()

    @property
    def usage(self) -> Usage | None:
        """What the upstream said that it used, as one call."""
        return self._facts.usage

    @property
    def content_seen(self) -> bool:
        """Something that the caller would see has come."""
        return self._facts.content_seen

    @property
    def content_events(self) -> int:
        """How many events carried content."""
        return self._facts.content_events

    @property
    def done(self) -> bool:
        """The answer is whole."""
        return self._facts.done

    @property
    def error(self) -> UpstreamError | None:
        """Why it broke."""
        return self._facts.error

    @error.setter
    def error(self, error: UpstreamError | None) -> None:
        self._facts.error = error
