"""Prompts go where their beginning is warm; conversations stay where they are, on a replica or outside."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from controller.core.fleet import FleetView, PoolView, RoutingMode
from controller.routing.conversations import IDLE_S
from tests.gateway.gateway_builders import POOL, fleet, replica
from tests.gateway.gateway_world import BEARER, World, whole
from tests.gateway.jumping_loop import jumping
from tests.gateway.replica_world import Replicas

SYSTEM = {"role": "system", "content": "You answer tersely. " * 200}


@dataclass
class Talk:
    """A conversation that grows."""

    world: World
    opening: str
    messages: list[dict[str, str]] = field(default_factory=list)

    async def turn(self) -> str:
        """One more question; the target and replica that answered it."""
        turns = len(self.messages) // 2
        if not self.messages:
            self.messages = [SYSTEM]
        else:
            self.messages.append({"role": "assistant", "content": f"answer {turns}"})
        self.messages.append({"role": "user", "content": f"{self.opening}, question {turns}"})
        heard = await self.world.ask({"messages": self.messages})
        assert heard.status == 200, heard.body
        entry = self.world.ledger.posted[-1]
        return f"{entry.target}/{entry.replica_id}" if entry.replica_id else str(entry.target)


def test_conversations_stay_on_their_replicas() -> None:
    """Twelve talks over four replicas, five turns each, all at once: none changes its replica."""

    async def scene() -> None:
        replicas = Replicas()
        talks = [Talk(replicas.world, f"talk {number}") for number in range(12)]
        places = [{await talk.turn()} for talk in talks]
        for _ in range(4):
            for talk, place in zip(talks, places, strict=True):
                place.add(await talk.turn())
        assert [len(place) for place in places] == [1] * 12

    jumping(scene())


def test_a_shared_beginning_fills_one_cache_until_that_replica_is_busy() -> None:
    """One after the other, prompts under one long system prompt go to one replica; many at once use all."""

    async def scene() -> None:
        replicas = Replicas()
        for number in range(10):
            await Talk(replicas.world, f"question {number}").turn()
        assert sorted(replicas.share().values()) == [0, 0, 0, 10]
        began_s = asyncio.get_running_loop().time()
        for engine in replicas.engines.values():
            engine.ttft_s = 5.0
        await asyncio.gather(*[Talk(replicas.world, f"other {number}").turn() for number in range(24)])
        share = replicas.share(began_s)
        assert max(share.values()) <= 8  # 1.25 times the average of 6
        assert min(share.values()) >= 4

    jumping(scene())


def spilling(ratio: float) -> FleetView:
    """The controller's word."""
    pool = PoolView(name=POOL.name, replicas=(replica("r1"),), mode=RoutingMode.SPILLING, spill_ratio=ratio)
    return FleetView(pools={POOL.name: pool})


def test_a_conversation_stays_home_when_its_pool_begins_to_spill() -> None:
    """New ones leave, all of them here; the one under way does not, nor does it count towards the share that leaves."""

    async def scene() -> None:
        world = World()
        world.own.script, world.external.script = [whole(), whole()], [whole()]
        talk = Talk(world, "old")
        assert await talk.turn() == "llama-8b/r1"
        world.feed.now = spilling(1.0)
        assert await talk.turn() == "llama-8b/r1"
        assert await Talk(world, "new").turn() != "llama-8b/r1"
        assert world.ledger.posted[-1].spilled

    jumping(scene())


def test_a_spilled_conversation_stays_outside_until_it_has_been_idle() -> None:
    """Although its pool has room again: there is its prompt cache, and its voice. Ten minutes later it is home."""

    async def scene() -> None:
        world = World()
        world.own.script, world.external.script = [whole(), whole()], [whole(), whole(), whole()]
        world.feed.now = spilling(1.0)
        talk = Talk(world, "old")
        outside = await talk.turn()
        world.feed.now = fleet(replica("r1"))
        assert await talk.turn() == outside
        entry = world.ledger.posted[-1]
        assert entry.spilled
        assert "the conversation is there" in entry.reason
        assert await Talk(world, "new").turn() == "llama-8b/r1"
        assert await talk.turn() == outside
        await asyncio.sleep(IDLE_S)
        assert await talk.turn() == "llama-8b/r1"

    jumping(scene())


def test_a_caller_may_call_a_conversation_home() -> None:
    """`x-spillway-spill: never` is stronger."""

    async def scene() -> None:
        world = World()
        world.own.script, world.external.script = [whole()], [whole()]
        world.feed.now = spilling(1.0)
        talk = Talk(world, "old")
        await talk.turn()
        talk.messages += [{"role": "assistant", "content": "a"}, {"role": "user", "content": "q"}]
        heard = await world.ask({"messages": talk.messages}, headers=(BEARER, (b"x-spillway-spill", b"never")))
        assert heard.headers["x-spillway-target"] == "llama-8b"

    jumping(scene())
