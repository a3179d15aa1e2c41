"""What a controller keeps in the cluster: written when it can be, fenced by the lease's epoch, read by the next one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_memory import KubernetesMemory
from tests.adapters.fake_api_objects import status_error
from tests.adapters.fake_apiserver import FakeApiServer, running_apiserver

RESOURCE, NAME = "/api/v1/configmaps", "spillway-controller-memory"


@asynccontextmanager
async def memory_of(api: FakeApiServer, epoch: int = 1) -> AsyncIterator[KubernetesMemory]:
    client = KubernetesClient(api.access())
    memory = KubernetesMemory(client, epoch=lambda: epoch)
    await memory.load()
    task = asyncio.create_task(memory.run(), name="memory")
    try:
        yield memory
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def test_what_was_kept_is_found_by_the_next() -> None:
    """Bytes in, the same bytes out, in another process; nothing where nothing was kept."""
    async with running_apiserver() as api:
        data = os.urandom(50_000)
        async with memory_of(api) as memory:
            assert memory.last() is None
            memory.keep(b"first")
            memory.keep(data)
            assert await memory.settled()
        async with memory_of(api, 2) as memory:
            assert memory.last() == data
            memory.keep(b"more")
            assert await memory.settled()
        assert api.get(RESOURCE, NAME)["metadata"]["annotations"] == {"spillway.dev/lease-epoch": "2"}


async def test_an_older_epoch_writes_nothing() -> None:
    """A controller that has been succeeded finds the mark of its successor, and leaves it."""
    async with running_apiserver() as api, memory_of(api, 3) as old:
        old.keep(b"old")
        assert await old.settled()
        async with memory_of(api, 4) as young:
            young.keep(b"young")
            assert await young.settled()
        before = api.get(RESOURCE, NAME)
        old.keep(b"late")
        assert not await old.settled()
        assert api.get(RESOURCE, NAME) == before


async def test_a_younger_epoch_writes_over_an_older_one() -> None:
    """The last word of a predecessor that came in between is no hindrance."""
    async with running_apiserver() as api, memory_of(api, 5) as young:
        young.keep(b"one")
        assert await young.settled()
        item = api.get(RESOURCE, NAME)
        metadata = {**item["metadata"], "annotations": {"spillway.dev/lease-epoch": "4"}}
        await api.put(RESOURCE, {**item, "metadata": metadata})
        young.keep(b"two")
        assert await young.settled()
        await api.drop(RESOURCE, NAME)
        young.keep(b"three")
        assert await young.settled()
        assert api.has(RESOURCE, NAME)


async def test_who_may_not_write_goes_on_without() -> None:
    """A refusal is told, and the next one is tried as if nothing had been."""
    async with running_apiserver() as api, memory_of(api) as memory:
        api.faults.append(lambda _: (403, status_error(403, "Forbidden", "configmaps is forbidden")))
        memory.keep(b"x")
        assert not await memory.settled()
        api.faults.clear()
        memory.keep(b"y")
        assert await memory.settled()


@pytest.mark.parametrize("data", ["", "!!", "aGVsbG8=", None])
async def test_damaged_memory_is_none(data: str | None) -> None:
    """What cannot be read is as if nothing was kept."""
    async with running_apiserver() as api:
        await api.put(RESOURCE, {"metadata": {"name": NAME}, "binaryData": {} if data is None else {"memory.z": data}})
        async with memory_of(api) as memory:
            assert memory.last() is None
            memory.keep(b"anew")
            assert await memory.settled()


async def test_too_much_is_not_kept() -> None:
    """What does not fit a ConfigMap is refused here, in words, and nothing is sent."""
    async with running_apiserver() as api, memory_of(api) as memory:
        memory.keep(os.urandom(800_000))
        assert not await memory.settled()
        assert api.writes() == []
