"""Memory is given back once after a crowd has left, and never for a few requests."""

from __future__ import annotations

import asyncio

import pytest

from controller.gateway.memory import EVERY_S, MemoryReturn


@pytest.mark.parametrize(
    ("in_flight", "returned"),
    [
        ((500, 500, 20, 0, 0), 1),
        ((500, 0, 0, 500, 0, 0), 2),
        ((99, 0, 0), 0),
        ((500, 400, 300), 0),
        ((500, 0, 500, 0, 500), 0),
    ],
    ids=["once", "per crowd", "few", "still here", "back at once"],
)
def test_memory_returns_after_a_crowd(in_flight: tuple[int, ...], returned: int) -> None:
    """One look per step."""

    async def scene() -> int:
        steps = list(in_flight)
        memory = MemoryReturn(lambda: steps.pop(0) if steps else 0 if returned else in_flight[-1])
        for _ in in_flight:
            memory._look()
        memory.stop()
        await asyncio.sleep(EVERY_S * 1.5)
        assert len(steps) == 0
        return memory.returned

    assert asyncio.run(scene()) == returned
