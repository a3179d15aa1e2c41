"""A pool of two slots, and requests that stay at home, as the tests of waiting need them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from controller.core.pools import EngineArgs, Slo
from tests.gateway.gateway_world import BEARER, COMPLETION, SETTINGS, Heard, World, whole
from tests.gateway.jumping_loop import jumping

NEVER = (b"x-spillway-spill", b"never")
TOOK_S = 4.0
LONG = COMPLETION.replace(b'"completion_tokens":2', b'"completion_tokens":140')  # an answer that takes so long


def small(**caps: Any) -> World:
    """A pool of two slots whose answers take four seconds each, and whose third request is late."""
    pool = replace(SETTINGS.pools["llama-8b"], engine=EngineArgs(max_num_seqs=2), slo=Slo(ttft_p95_s=1, tpot_p95_s=0.1))
    gateway = replace(SETTINGS.gateway, caps=replace(SETTINGS.gateway.caps, **caps))
    world = World(settings=replace(SETTINGS, pools={**SETTINGS.pools, "llama-8b": pool}, gateway=gateway))
    world.own.script = [whole(LONG, head_after_s=TOOK_S) for _ in range(100)]
    return world


def ask(world: World, priority: str = "standard", **options: Any) -> Coroutine[Any, Any, Heard]:
    """One request that stays at home."""
    more: Sequence[tuple[bytes, bytes]] = options.pop("headers", ())
    return world.ask(headers=[BEARER, NEVER, (b"x-spillway-priority", priority.encode()), *more], **options)


def queued(world: World) -> dict[str, int]:
    """What became of those that found no place at once."""
    return world.gateway.metrics.targets["llama-8b"].queued


def play(world: World, act: Callable[[asyncio.TaskGroup], Coroutine[Any, Any, None]]) -> None:
    """Runs to the end of every request; afterwards nobody waits, and nothing is in flight."""

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            await act(group)

    jumping(main())
    assert world.gateway.metrics.in_flight == 0
    assert world.gateway.metrics.targets["llama-8b"].waiting == 0
    assert sum(world.gateway.loads.in_flight().values()) == 0


async def filled(world: World, group: asyncio.TaskGroup) -> list[asyncio.Task[Heard]]:
    """Both slots are taken."""
    first = [group.create_task(ask(world)) for _ in range(2)]
    await asyncio.sleep(0.5)
    assert len(world.own.calls) == 2
    return first
