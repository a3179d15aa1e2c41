"""A number of replicas whose write is done and whose answer is lost: it is ours, and nobody fights over it."""

from __future__ import annotations

from tests.adapters.kubernetes_world import POOL, platform_world


async def test_a_write_whose_answer_is_lost_is_known_as_ours() -> None:
    """The client sends it again, hears that the object has changed, and finds that it is as it was to be."""
    async with platform_world() as world:
        await world.platform.start(POOL)
        await world.settle()
        world.api.lost_answers.append("PUT")
        await world.platform.start(POOL)
        assert not world.api.lost_answers
        assert world.replicas() == 3
        await world.settle()
        assert world.platform.trouble_of("p") is None
