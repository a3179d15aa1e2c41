"""Bytes to the gateway as they are, and all that comes back."""

from __future__ import annotations

import asyncio
import contextlib

LISTEN_S = 3.0


async def exchange(port: int, data: bytes, *, listen_s: float = LISTEN_S) -> tuple[bytes, bool]:
    """(what was said, whether the connection was closed) for bytes sent on a connection of their own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    try:
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            async with asyncio.timeout(listen_s):
                while piece := await reader.read(65536):
                    said += piece
    except TimeoutError:
        return said, False
    finally:
        writer.close()
    return said, True


def statuses(said: bytes) -> list[int]:
    """The status of each answer in it."""
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]
