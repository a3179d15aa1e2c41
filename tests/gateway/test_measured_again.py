"""A slow replica that is quick again: found by a trickle of real requests, none of which is put at risk."""

from __future__ import annotations

import asyncio

from controller.core.pools import Slo
from tests.gateway.jumping_loop import jumping
from tests.gateway.replica_world import Replicas

PER_S = 40
FAIR_RATIO = 0.25


def now_s() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


async def made_slow(replicas: Replicas, seconds: float) -> None:
    """Afterwards `b` has been slow for a while and is avoided."""
    await replicas.offer(PER_S, 10)
    slow = replicas.engines["b"]
    slow.ttft_s *= 10
    slow.gap_s *= 10
    await replicas.offer(PER_S, seconds)


def test_it_has_its_share_again_within_thirty_seconds() -> None:
    """The fading of what was measured alone would take minutes."""

    async def scene() -> None:
        replicas = Replicas()
        await made_slow(replicas, 8.0)
        slow = replicas.engines["b"]
        slow.ttft_s, slow.gap_s = slow.ttft_s / 10, slow.gap_s / 10
        await replicas.offer(PER_S, 30)
        await replicas.offer(PER_S, 5)
        assert replicas.share(now_s() - 5)["b"] > 0.6 * FAIR_RATIO * 5 * PER_S
        replicas.gateway.parts.watch.close()

    jumping(scene())


def test_while_it_is_slow_hardly_anybody_goes_there() -> None:
    """At most one request in twenty, and one in some seconds."""

    async def scene() -> None:
        replicas = Replicas()
        await made_slow(replicas, 15.0)
        since_s = now_s()
        await replicas.offer(PER_S, 60)
        assert 1 <= replicas.share(since_s)["b"] <= 60 * PER_S / 40
        replicas.gateway.parts.watch.close()

    jumping(scene())


def test_nobody_is_sent_there_who_would_be_late() -> None:
    """A first token there would take longer than half of the SLO, until what was measured has faded."""

    async def scene() -> None:
        replicas = Replicas(slo=Slo(ttft_p95_s=0.6, tpot_p95_s=1.0))
        await made_slow(replicas, 15.0)
        since_s = now_s()
        await replicas.offer(PER_S, 10)
        assert replicas.share(since_s)["b"] == 0
        replicas.gateway.parts.watch.close()

    jumping(scene())
