"""Leader election: one holder at a time, whoever is paused, cut off or killed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import CONFIG_MAPS
from controller.adapters.kubernetes_lease import KubernetesLease, LeaseLost
from controller.adapters.kubernetes_lease_thread import LeaseInThread
from tests.adapters.fake_api_objects import status_error
from tests.adapters.fake_apiserver import FakeApiServer, running_apiserver
from tests.adapters.kubernetes_world import until

LEASES = "/apis/coordination.k8s.io/v1/leases"


class Clock:
    """Set by hand; of one machine."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@asynccontextmanager
async def candidate(api: FakeApiServer, clock: Clock, name: str = "a") -> AsyncIterator[KubernetesLease]:
    """One controller's lease, a hundred times as fast as in life."""
    client = KubernetesClient(api.access(), timeout_s=3.0)
    try:
        yield KubernetesLease(client, identity=name, clock_s=clock, pace=0.01)
    finally:
        await client.close()


def lease_of(api: FakeApiServer) -> dict[str, Any]:
    spec: dict[str, Any] = api.get(LEASES, "spillway-controller")["spec"]
    return spec


async def test_the_first_one_takes_it_and_gives_it_back() -> None:
    """Taken at once where there is none; given up, the next one need not wait."""
    async with running_apiserver() as api, candidate(api, Clock()) as one, candidate(api, Clock(), "b") as other:
        assert not one.holds()
        await one.acquire()
        assert one.holds()
        first = one.epoch
        assert (lease_of(api)["leaseTransitions"], lease_of(api)["holderIdentity"]) == (0, one.identity)
        assert lease_of(api)["leaseDurationSeconds"] == 13
        await one.release()
        assert not one.holds()
        await asyncio.wait_for(other.acquire(), 5.0)
        assert (other.epoch, other.holds()) == (first + 1, True)


async def test_a_standby_waits_as_long_as_the_holder_said() -> None:
    """It takes over once nothing has changed for 13 s by its own clock, and not while the holder renews."""
    async with running_apiserver() as api:
        mine, theirs = Clock(), Clock()
        async with candidate(api, mine) as one, candidate(api, theirs, "b") as other:
            await one.acquire()
            waiting = asyncio.create_task(other.acquire(), name="standby")
            await until(lambda: other.holder == one.identity)
            for _ in range(3):
                theirs.s += 10.0
                await one._renew()
                calls = len(api.calls)
                await until(lambda calls=calls: len(api.calls) > calls + 2)
            assert not waiting.done()
            theirs.s += 13.0
            await asyncio.wait_for(waiting, 5.0)
            assert other.epoch == one.epoch + 1


async def test_a_paused_holder_that_wakes_up_writes_nothing() -> None:
    """20 s later, by a clock that ran on, it may not write: neither its lease nor anything else."""
    async with running_apiserver() as api:
        clock = Clock()
        async with candidate(api, clock) as one:
            await one.acquire()
            guarded = KubernetesClient(api.access(), may_write=one.check)
            await guarded.create(CONFIG_MAPS.path("models"), {"metadata": {"name": "m"}})
            clock.s += 20.0
            calls = len(api.writes())
            with pytest.raises(LeaseLost):
                await guarded.patch(CONFIG_MAPS.path("models", "m"), {"data": {"a": "b"}})
            with pytest.raises(LeaseLost):
                await asyncio.wait_for(one.keep(), 5.0)
            await one.release()
            assert len(api.writes()) == calls
            assert (await guarded.get(CONFIG_MAPS.path("models", "m")))["metadata"]["name"] == "m"
            await guarded.close()


async def test_a_holder_that_is_cut_off_gives_up_in_time() -> None:
    """Renewals fail: it goes on for 10 s, three less than anybody else waits; then it has lost."""
    async with running_apiserver() as api:
        clock = Clock()
        async with candidate(api, clock) as one:
            await one.acquire()
            api.faults.append(lambda _: (503, status_error(503, "ServiceUnavailable", "no etcd")))
            keeping = asyncio.create_task(one.keep(), name="keep")
            calls = len(api.calls)
            await until(lambda: len(api.calls) > calls + 2)
            clock.s += 9.0
            assert one.holds()
            assert not keeping.done()
            clock.s += 1.0
            assert not one.holds()
            with pytest.raises(LeaseLost):
                await asyncio.wait_for(keeping, 5.0)


async def test_a_short_outage_costs_nothing() -> None:
    """Renewed again within its time, it goes on."""
    async with running_apiserver() as api:
        clock = Clock()
        async with candidate(api, clock) as one:
            await one.acquire()
            api.faults.append(lambda _: (503, status_error(503, "ServiceUnavailable", "no etcd")))
            keeping = asyncio.create_task(one.keep(), name="keep")
            clock.s += 8.0
            calls = len(api.calls)
            await until(lambda: len(api.calls) > calls + 1)
            api.faults.clear()
            before = lease_of(api)["renewTime"]
            await until(lambda: lease_of(api)["renewTime"] != before)
            answered = len(api.calls)
            await until(lambda: len(api.calls) > answered)  # its next call: it has heard of the one that was written
            clock.s += 8.0
            assert one.holds()
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


async def test_who_finds_another_holder_has_lost() -> None:
    """Somebody has taken it: the next renewal says so at once."""
    async with running_apiserver() as api:
        clock = Clock()
        async with candidate(api, clock) as one:
            await one.acquire()
            item = api.get(LEASES, "spillway-controller")
            await api.put(LEASES, {**item, "spec": {**item["spec"], "holderIdentity": "thief", "leaseTransitions": 7}})
            with pytest.raises(LeaseLost, match="held by 'thief' now"):
                await asyncio.wait_for(one.keep(), 5.0)
            assert not one.holds()


async def test_of_two_that_are_as_fast_one_wins() -> None:
    """Both see a free lease; the version lets one of them through."""
    async with running_apiserver() as api, candidate(api, Clock()) as one, candidate(api, Clock(), "b") as other:
        tries = [asyncio.create_task(each.acquire(), name=each.identity) for each in (one, other)]
        await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0.2)
        assert [one.holds(), other.holds()].count(True) == 1
        for task in tries:
            task.cancel()
        await asyncio.gather(*tries, return_exceptions=True)


async def test_a_busy_process_keeps_its_lease() -> None:
    """While the event loop computes and answers nobody, the lease is renewed; at the end its thread is gone."""
    async with running_apiserver_in_thread() as api:
        client = KubernetesClient(api.access(), timeout_s=3.0)
        seat = LeaseInThread(KubernetesLease(client, identity="a", pace=0.02), client)
        await seat.acquire()
        keeping = asyncio.create_task(seat.keep(), name="keep")
        await asyncio.sleep(0)
        before, until_s = lease_of(api)["renewTime"], time.monotonic() + 0.5
        while time.monotonic() < until_s:
            sum(range(1000))
        assert lease_of(api)["renewTime"] > before
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await seat.release()
        assert lease_of(api)["holderIdentity"] == ""
        await seat.close()
    assert "lease" not in [thread.name for thread in threading.enumerate()]


@asynccontextmanager
async def running_apiserver_in_thread() -> AsyncIterator[FakeApiServer]:
    """One that answers whatever the loop of the test does."""
    ready: asyncio.Future[FakeApiServer] = asyncio.get_running_loop().create_future()
    loop, there = asyncio.get_running_loop(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with running_apiserver() as api:
            loop.call_soon_threadsafe(ready.set_result, api)
            await stop.wait()

    thread = threading.Thread(target=there.run_until_complete, args=(serve(),), name="api")
    thread.start()
    try:
        yield await ready
    finally:
        there.call_soon_threadsafe(stop.set)
        await asyncio.to_thread(thread.join, 10.0)
        there.close()
