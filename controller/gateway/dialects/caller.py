"""What the gateway asks of a caller's dialect. One instance per dialect, without state: a route names it.

Chat completions are the common ground: what a caller of another dialect sends becomes a chat request, and chat answers
become its own. Where caller and upstream speak the same dialect, bytes pass as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from controller.config.settings import Caps
from controller.core.errors import RequestError
from controller.core.models import Dialect
from controller.core.requests import Operation

if TYPE_CHECKING:
    from controller.gateway.answers import Headers
    from controller.gateway.decode import Decoded
    from controller.gateway.json_body import Document
    from controller.gateway.wishes import HeaderMap


class StreamWriter(Protocol):
    """Turns the chunks of one chat stream into the caller's events."""

    def write(self, chunk: Document) -> bytes:
        """The events for one chunk; may be none."""
        ...

    def end(self) -> bytes:
        """The events that close a whole answer."""
        ...

    def broken(self, error: RequestError) -> bytes | None:
        """The events that end one that broke; None when the dialect's error event says it all."""
        ...


class Caller(Protocol):
    """A dialect as callers speak it."""

    @property
    def dialect(self) -> Dialect | None:
        """Upstreams of the same dialect get and give the caller's own words; None when there are no such upstreams."""
        ...

    def decode(self, operation: Operation, headers: HeaderMap, body: bytes, tenant: str, caps: Caps) -> Decoded:
        """The request, checked, as a chat request with its facts; RequestError when it is wrong."""
        ...

    def answer(self, chat: bytes, decoded: Decoded) -> bytes:
        """A whole chat completion in the caller's words."""
        ...

    def writer(self, decoded: Decoded, created_s: int) -> StreamWriter | None:
        """For one stream; None when chat chunks are the caller's own words."""
        ...

    def status(self, error: RequestError) -> int:
        """The status that this dialect's clients know for the error."""
        ...

    def error_body(self, error: RequestError, request_id: bytes) -> bytes:
        """The error in the caller's shape."""
        ...

    def error_event(self, error: RequestError, request_id: bytes) -> bytes:
        """The same as the last event of a broken stream."""
        ...

    def id_headers(self, request_id: bytes) -> Headers:
        """The headers that this dialect's clients read the request id from, and our own."""
        ...
