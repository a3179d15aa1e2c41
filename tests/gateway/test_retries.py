"""Second tries in own pools: who finds the retry budget spent waits for its turn, and for nothing else."""

from __future__ import annotations

import asyncio

from tests.gateway.gateway_world import BEARER, Heard
from tests.gateway.jumping_loop import jumping
from tests.gateway.replica_world import Replicas

TOOK_S = 2.0
AT_ONCE = 3  # retries of an idle gateway
HOME_A = "question 0"  # a prompt whose beginning belongs to `a` where both are as good


def one_fails() -> Replicas:
    """Of two engines `a` fails at once and every time, `b` answers within two seconds."""
    replicas = Replicas(2)
    replicas.engines["a"].error_ratio = 1.0
    replicas.engines["b"].gap_s = TOOK_S / replicas.engines["b"].tokens
    return replicas


async def ask(
    replicas: Replicas, *, priority: str = "standard", deadline_ms: int = 60_000, leaves: float = 1e6
) -> Heard:
    """One request; with `b` busy it goes to `a` first."""
    headers = [
        BEARER,
        (b"x-spillway-priority", priority.encode()),
        (b"x-spillway-deadline-ms", str(deadline_ms).encode()),
    ]
    fields = {"stream": True, "messages": [{"role": "user", "content": HOME_A}]}
    return await replicas.world.ask(fields, headers=headers, leaves_after_s=leaves)


async def spent(replicas: Replicas) -> list[asyncio.Task[Heard]]:
    """As many second tries are under way at `b` as there may be."""
    retries = replicas.gateway.metrics.retries
    tasks = []
    while retries.get("taken", 0) < AT_ONCE:
        tasks.append(asyncio.create_task(ask(replicas)))
        await asyncio.sleep(0.01)
    return tasks


def settled(replicas: Replicas) -> None:
    """Nobody waits and nothing is under way."""
    assert replicas.gateway.metrics.in_flight == 0
    assert sum(replicas.gateway.loads.in_flight().values()) == 0
    replicas.gateway.parts.watch.close()


def test_who_finds_the_budget_spent_waits_and_the_higher_class_goes_first() -> None:
    """All are answered; interactive ones before batch ones that came sooner."""

    async def scene() -> None:
        replicas, order = one_fails(), list[str]()

        async def one(priority: str) -> None:
            heard = await ask(replicas, priority=priority)
            assert heard.status == 200
            if heard.headers["x-spillway-attempts"] == "2":
                order.append(priority)

        first = await spent(replicas)
        waiting = []
        for priority in ("batch", "interactive", "batch", "interactive"):
            waiting.append(asyncio.create_task(one(priority)))
            await asyncio.sleep(0.01)
        assert {heard.status for heard in await asyncio.gather(*first)} == {200}
        await asyncio.gather(*waiting)
        assert order == sorted(order, reverse=True)
        assert set(order) == {"interactive", "batch"}
        assert replicas.gateway.metrics.retries == {"taken": AT_ONCE, "waited": len(order)}
        settled(replicas)

    jumping(scene())


def test_the_wait_ends_with_the_deadline_and_with_the_caller() -> None:
    """The first failure is the answer then; who has left leaves nothing behind, and the next one has its turn."""

    async def scene() -> None:
        replicas = one_fails()
        first = await spent(replicas)
        hurried = asyncio.create_task(ask(replicas, deadline_ms=500))
        await asyncio.sleep(0.01)
        left = asyncio.create_task(ask(replicas, leaves=0.5))
        await asyncio.gather(*first, hurried, left)
        heard = hurried.result()
        assert (heard.status, left.result().status) == (502, 0)
        assert 0.4 < heard.took_s < 0.6
        assert replicas.gateway.metrics.retries["refused"] == 1
        again = await spent_anew(replicas)
        assert {one.status for one in again} == {200}
        settled(replicas)

    jumping(scene())


async def spent_anew(replicas: Replicas) -> list[Heard]:
    """As many at once as fit into the budget."""
    return list(await asyncio.gather(*(ask(replicas) for _ in range(AT_ONCE))))


def test_a_turn_that_comes_as_the_caller_leaves_is_given_on() -> None:
    """The budget is whole again afterwards."""

    async def scene() -> None:
        replicas = one_fails()
        first = await spent(replicas)
        began_s = asyncio.get_running_loop().time()
        leaving = [asyncio.create_task(ask(replicas, leaves=after_s / 1000)) for after_s in range(1900, 2100, 2)]
        await asyncio.gather(*first, *leaving)
        assert asyncio.get_running_loop().time() - began_s < 2 * TOOK_S + 1.0
        assert replicas.gateway._dispatcher._retries._budget.retrying == 0
        settled(replicas)

    jumping(scene())


def test_nobody_waits_where_there_is_nowhere_to_go() -> None:
    """One replica: its failure is told at once, however many fail; so is that of a whole pool."""

    async def scene() -> None:
        for count in (1, 2):
            replicas = Replicas(count)
            for engine in replicas.engines.values():
                engine.error_ratio = 1.0
            heard = await asyncio.gather(*(ask(replicas) for _ in range(40)))
            assert 200 not in {one.status for one in heard}
            assert max(one.took_s for one in heard) < 0.1
            settled(replicas)

    jumping(scene())
