"""Reads the body of a request, as far as it is worth reading, and from a sender who means it."""

from __future__ import annotations

import asyncio

from controller.config.settings import CAPS
from controller.gateway.guard import CallerLeft
from controller.gateway.json_body import too_large
from controller.gateway.ports import Line
from controller.gateway.refusals import slow_body
from controller.gateway.wishes import HeaderMap

LEAST_BYTES_PER_S = 1024  # each KiB that came buys another second


async def read_body(headers: HeaderMap, line: Line, limit_bytes: int, body_s: float) -> bytes:
    """The whole of it; RequestError 413 when it is, or says that it will be, over the limit, 408 when it is slow."""
    if _declared_bytes(headers) > limit_bytes:
        raise too_large(limit_bytes)
    try:
        async with asyncio.timeout(body_s) as time:
            return await _whole(line, limit_bytes, time)
    except TimeoutError:
        raise slow_body(body_s) from None


async def _whole(line: Line, limit_bytes: int, time: asyncio.Timeout) -> bytes:
    chunks: list[bytes] = []
    size_bytes = 0
    while size_bytes <= limit_bytes:
        chunk = await line.more()
        if chunk is None:
            raise CallerLeft
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size_bytes += len(chunk)
        due_s = time.when()
        if due_s is not None:
            time.reschedule(due_s + len(chunk) / LEAST_BYTES_PER_S)
    raise too_large(limit_bytes)


def is_worth_reading(headers: HeaderMap) -> bool:
    """Whether the rest of a refused body is short enough to be read, so that the connection can be used again."""
    return 0 < _declared_bytes(headers) <= CAPS.discard_bytes


def _declared_bytes(headers: HeaderMap) -> int:
    value = headers.get(b"content-length", b"")
    return int(value) if value.isdigit() else 0
