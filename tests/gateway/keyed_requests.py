"""Requests with an Idempotency-Key, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.gateway.gateway_world import BEARER, Heard, World

REPLAY = "x-spillway-idempotent-replay"


def keyed(key: bytes = b"order-1") -> list[tuple[bytes, bytes]]:
    """Headers of a caller who sends this key."""
    return [BEARER, (b"idempotency-key", key)]


def ask(world: World, fields: object = None, *, key: bytes = b"order-1", **options: Any) -> Coroutine[Any, Any, Heard]:
    """One request under the key."""
    return world.ask(fields, headers=keyed(key), **options)


async def later(heard: Coroutine[Any, Any, Heard], after_s: float) -> Heard:
    """The same after a while."""
    await asyncio.sleep(after_s)
    return await heard
