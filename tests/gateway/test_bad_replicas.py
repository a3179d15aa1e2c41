"""Hung, gone, slow and failing replicas: who is asked, what callers see, and how they come back."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from controller.routing.ejection import Reason
from tests.gateway.gateway_world import DONE
from tests.gateway.jumping_loop import jumping
from tests.gateway.replica_world import Replicas


def now_s() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


def reasons(replicas: Replicas) -> dict[str, str]:
    """Who is out, and why."""
    return replicas.gateway.loads.ejected()


@pytest.mark.parametrize("stream", [True, False], ids=["streams", "whole answers"])
def test_a_hung_engine_is_out_within_ten_seconds_and_nobody_is_lost(stream: bool) -> None:
    """Requests that wait there before their first byte go to another replica; it is probed, and back when it lives."""

    async def scene() -> None:
        replicas = Replicas()
        assert all(heard.status == 200 for heard in await replicas.offer(20, 10, stream=stream))
        replicas.engines["b"].hung = True
        began_s, out_s = now_s(), 0.0
        load = asyncio.create_task(replicas.offer(20, 20, stream=stream))
        while not out_s:
            await asyncio.sleep(0.1)
            out_s = now_s() if reasons(replicas) else 0.0
        assert reasons(replicas) == {"b": Reason.HUNG}
        assert out_s - began_s < 10.0
        heard = await load
        assert {one.status for one in heard} == {200}
        assert max(one.took_s for one in heard) < 10.0
        assert replicas.share(out_s)["b"] <= 3  # one probe at a time
        replicas.engines["b"].hung = False
        later = await replicas.offer(20, 60, stream=stream)
        assert {one.status for one in later} == {200}
        assert not reasons(replicas)
        assert replicas.share(now_s() - 10)["b"] > 20
        replicas.gateway.parts.watch.close()

    with capture_logs() as logs:
        jumping(scene())
    first = {"event": "replica_ejected", "replica": "b", "reason": "hung", "rest_s": 5.0, "log_level": "warning"}
    assert logs[0] == first


def test_idle_and_saturated_are_not_hung() -> None:
    """Nothing under way for minutes; then far more than fits: first tokens are late, but some come."""

    async def scene() -> None:
        replicas = Replicas(2)
        await replicas.offer(5, 5)
        await asyncio.sleep(300)
        assert not reasons(replicas)
        for engine in replicas.engines.values():
            engine.slots = asyncio.Semaphore(2)
        heard = await replicas.offer(60, 20)
        assert max(one.took_s for one in heard) > 5.0
        assert {one.status for one in heard} <= {200, 429}
        assert not reasons(replicas)

    jumping(scene())


def test_a_gateway_that_stood_still_blames_nobody() -> None:
    """Stopped for half a minute with requests under way: the silence was its own."""

    async def scene() -> None:
        replicas = Replicas(2)
        load = asyncio.create_task(replicas.offer(10, 3))
        await asyncio.sleep(1.0)
        for engine in replicas.engines.values():
            engine.hung = True
        await asyncio.sleep(0.4)
        asyncio.get_running_loop().now_s += 30.0  # type: ignore[attr-defined]  # the jumping loop
        await asyncio.sleep(0.6)
        assert not reasons(replicas)
        for engine in replicas.engines.values():
            engine.hung = False
        assert {one.status for one in await load} == {200}

    jumping(scene())


def test_with_nowhere_else_to_go_one_waits() -> None:
    """The only replica of a pool without spill hangs for 20 s: its callers wait, and are answered in the end."""

    async def scene() -> None:
        replicas = Replicas(1)
        replicas.engines["a"].hung = True
        asking = asyncio.create_task(replicas.world.ask({"stream": True}))
        await asyncio.sleep(20.0)
        assert reasons(replicas) == {"a": Reason.HUNG}
        refused = await replicas.world.ask({"stream": True})
        replicas.engines["a"].hung = False
        heard = await asking
        assert (heard.status, heard.body.endswith(DONE)) == (200, True)
        assert refused.status in (429, 503)

    jumping(scene())


def test_a_replica_that_is_gone_counts_once_and_is_back_soon() -> None:
    """Fifty requests at once find it gone: none is lost, it rests for a second; asked again soon after its return."""

    async def scene() -> None:
        replicas = Replicas(2)
        replicas.engines["a"].gone = True
        heard = await asyncio.gather(*[replicas.world.ask({"stream": True}) for _ in range(50)])
        assert {one.status for one in heard} == {200}
        assert reasons(replicas) == {"a": Reason.GONE}
        assert replicas.gateway.loads.of("a").standing.wait_s(now_s()) <= 1.0
        assert replicas.gateway.replica_metrics.ejections == {("llama-8b", "gone"): 1}
        assert replicas.gateway.breakers.allows("a", now_s())
        assert {one.status for one in await replicas.offer(20, 20)} == {200}
        assert len([at_s for at_s in replicas.engines["a"].calls if at_s > now_s() - 10.0]) <= 4
        replicas.engines["a"].gone = False
        back_s = now_s()
        await replicas.offer(20, 6)
        assert not reasons(replicas)
        assert min(at_s for at_s in replicas.engines["a"].calls if at_s >= back_s) - back_s < 5.0

    jumping(scene())


@pytest.mark.parametrize("kind", ["slow", "errors"])
def test_a_grey_replica_loses_its_share(kind: str) -> None:
    """Ten times slower, or every fifth call fails: under 5 % of requests after 30 s, and its share back after."""

    async def scene() -> None:
        replicas = Replicas()
        await replicas.offer(10, 30)
        grey = replicas.engines["c"]
        if kind == "slow":
            grey.ttft_s, grey.gap_s = 10 * grey.ttft_s, 10 * grey.gap_s
        else:
            grey.error_ratio = 0.2
        await replicas.offer(10, 30)
        since_s = now_s()
        heard = await replicas.offer(10, 60)
        share = replicas.share(since_s)
        assert share["c"] / share.total() < 0.05
        assert {one.status for one in heard} == {200}
        grey.ttft_s, grey.gap_s, grey.error_ratio = 0.05, 0.01, 0.0
        await replicas.offer(10, 150)
        since_s = now_s()
        await replicas.offer(10, 30)
        share = replicas.share(since_s)
        assert share["c"] / share.total() > 0.15

    jumping(scene())


def test_never_more_than_half_of_a_pool() -> None:
    """Three of four replicas fail every second call: two go, and the callers of the third are served by a retry."""

    async def scene() -> None:
        replicas = Replicas()
        await replicas.offer(20, 10)
        for name in "abc":
            replicas.engines[name].error_ratio = 0.5
        for _ in range(30):
            await replicas.offer(20, 1)
            assert len(reasons(replicas)) <= 2

    jumping(scene())
