"""A controller that dies between any two writes: its successor ends where one that lived would have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.adapters.kubernetes_world import POOL, PlatformWorld, platform_world


class Died(Exception):
    """The process is no more."""


class Mortal:
    """Counts writes, and dies before or after one of them."""

    def __init__(self, world: PlatformWorld, at: int, *, before: bool) -> None:
        self.world, self.at, self.before, self.count, self.died = world, at, before, 0, False

    def arm(self) -> None:
        for verb in ("replace", "patch", "delete"):
            real: Callable[..., Any] = getattr(self.world.client, verb)
            setattr(self.world.client, verb, self._guarded(real))

    def _guarded(self, real: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            if self.died:
                raise Died
            self.count += 1
            if self.count == self.at and self.before:
                self.died = True
                raise Died
            answer = await real(*args, **options)
            if self.count == self.at:
                self.died = True
                raise Died
            return answer

        return call


async def steps(world: PlatformWorld, want: int) -> None:
    """What a control loop does, tick by tick, until there are so many ready ones: starts, drains, removals."""
    for _ in range(12):
        found = await world.listed()
        alive = [one for one in found.values() if one.state.value in {"ready", "warming"}]
        for one in [one for one in found.values() if one.state.value == "draining"]:
            await world.platform.remove(one.replica_id)
        doomed = sorted(alive, key=lambda one: (one.state.value == "ready", -one.started_at_s))
        for one in doomed[: max(0, len(alive) - want)]:
            await world.platform.mark_draining(one.replica_id)
        for _ in range(want - len(alive)):
            await world.platform.start(POOL)
        await world.settle()


async def end_of(
    at: int, *, before: bool, first: int, want: int, starting: int
) -> tuple[bool, int, list[str], list[str]]:
    """Whether it died, the number of replicas, the states, and the pods that were marked and are there."""
    async with platform_world(first) as world:
        for _ in range(starting):
            await world.platform.start(POOL)
            await world.settle(ready=False)
        mortal = Mortal(world, at, before=before)
        mortal.arm()
        try:
            await steps(world, want)
        except Died:
            await world.begin()
            await steps(world, want)
        states = await world.states()
        marked = [name for name in states if "annotations" in world.api.get("/api/v1/pods", name)["metadata"]]
        return mortal.died, world.replicas(), sorted(states.values()), marked


@pytest.mark.parametrize(
    ("first", "want", "starting"), [(3, 1, 0), (2, 1, 1), (1, 3, 0)], ids=["shrink", "mixed", "grow"]
)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_every_write_may_be_the_last(first: int, want: int, starting: int, before: bool) -> None:
    """Whatever write it dies at: as many replicas as were wanted, all ready, none marked that stays."""
    at, died = 0, True
    while died:
        at += 1
        died, replicas, states, marked = await end_of(at, before=before, first=first, want=want, starting=starting)
        assert (replicas, states, marked) == (want, ["ready"] * want, []), f"died at write {at}"
    assert at >= 3


async def test_a_write_whose_answer_is_lost_is_not_made_twice() -> None:
    """The number was written, and nobody heard: the next try finds another number than it knew, and writes nothing."""
    async with platform_world(1) as world:
        await world.platform.list_replicas(POOL)
        real = world.client.replace

        async def deaf(path: str, body: dict[str, Any]) -> dict[str, Any]:
            await real(path, body)
            world.client.replace = real  # type: ignore[method-assign]
            raise TimeoutError

        world.client.replace = deaf  # type: ignore[method-assign]
        with pytest.raises(TimeoutError):
            await world.platform.start(POOL)
        await asyncio.sleep(0)
        await world.settle()
        assert len(await world.listed()) == 2
        assert world.platform.trouble_of("p") is None
