"""Reads the body of a request, as far as it is worth reading."""

from __future__ import annotations

from controller.gateway.decode import HeaderMap, too_large
from controller.gateway.guard import CallerLeft, Receive

BODY_S = 30.0
DISCARD_BYTES = 64 * 1024 * 1024  # a longer body is not read to its end: the connection is closed


async def read_body(headers: HeaderMap, receive: Receive, limit_bytes: int) -> bytes:
    """The whole of it; RequestError 413 when it is, or says that it will be, over the limit."""
    if _declared_bytes(headers) > limit_bytes:
        raise too_large(limit_bytes)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerLeft
    body: bytes = message["body"]
    if not message["more_body"] and len(body) <= limit_bytes:
        return body
    chunks, size_bytes = [body], len(body)
    while message["more_body"] and size_bytes <= limit_bytes:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        chunks.append(message["body"])
        size_bytes += len(message["body"])
    if size_bytes > limit_bytes:
        raise too_large(limit_bytes)
    return b"".join(chunks)


def is_worth_reading(headers: HeaderMap) -> bool:
    """Whether the rest of a refused body is short enough to be read, so that the connection can be used again."""
    return 0 < _declared_bytes(headers) <= DISCARD_BYTES


def _declared_bytes(headers: HeaderMap) -> int:
    value = headers.get(b"content-length", b"")
    return int(value) if value.isdigit() else 0
