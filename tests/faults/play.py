"""Runs the scene of a test on an event loop of its own, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

LIMIT_S = 100.0


def play(scene: Coroutine[Any, Any, None], limit_s: float = LIMIT_S) -> None:
    """Afterwards the scene has run to its end, or has failed."""

    async def within_limit() -> None:
        async with asyncio.timeout(limit_s):
            await scene

    asyncio.run(within_limit())
