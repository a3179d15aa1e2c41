"""The proxy before the API passes everything on, and fails exactly as it is told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.cluster.api_asked import Asked, asked_of
from tests.cluster.api_faults import WatchFaults, deleted
from tests.cluster.apiserver_proxy import ApiserverProxy, apiserver_proxy
from tests.cluster.handle import ControlPlane

NAMESPACE = "through-the-proxy"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
SOON_S = 20.0


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> ControlPlane:
    """A cluster with a namespace for these tests."""
    control_plane.kubectl("create", "namespace", NAMESPACE)
    return control_plane


@pytest.fixture
def proxy(place: ControlPlane) -> Iterator[ApiserverProxy]:
    """One of its own for each test."""
    with apiserver_proxy(place) as made:
        yield made


def named(name: str) -> dict[str, object]:
    """A ConfigMap as it is sent."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}


@asynccontextmanager
async def session(proxy: ApiserverProxy) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the proxy."""
    timeout = aiohttp.ClientTimeout(total=SOON_S)
    async with aiohttp.ClientSession(base_url=proxy.url, timeout=timeout) as client:
        yield client
    await asyncio.sleep(0.05)  # for the transports to close


class Watch:
    """What a watch of ConfigMaps has heard."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client
        self.heard: list[tuple[str, str]] = []
        self.ended = False
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """It is open, from now on."""
        async with self._client.get(MAPS) as answer:
            version = (await answer.json())["metadata"]["resourceVersion"]
        opened = asyncio.Event()
        self._task = asyncio.create_task(self._hear(version, opened))
        await opened.wait()

    async def _hear(self, version: str, opened: asyncio.Event) -> None:
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "60"}
        try:
            async with self._client.get(MAPS, params=query) as answer:
                opened.set()
                async for line in answer.content:
                    event = json.loads(line)
                    self.heard.append((event["type"], event["object"]["metadata"]["name"]))
        except (aiohttp.ClientError, ConnectionError):
            pass
        self.ended = True

    async def hears(self, count: int) -> None:
        """Returns once so many events are there."""
        async with asyncio.timeout(SOON_S):
            while len(self.heard) < count:
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Afterwards it is gone."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def watching(proxy: ApiserverProxy) -> AsyncIterator[tuple[aiohttp.ClientSession, Watch]]:
    """A client, and an open watch of it."""
    async with session(proxy) as client:
        watch = Watch(client)
        await watch.begin()
        try:
            yield client, watch
        finally:
            await watch.close()


async def make(client: aiohttp.ClientSession, *names: str) -> None:
    """ConfigMaps of these names are there."""
    for name in names:
        async with client.post(MAPS, json=named(name)) as answer:
            assert answer.status == 201, await answer.text()


async def remove(client: aiohttp.ClientSession, *names: str) -> None:
    """ConfigMaps of these names are gone."""
    for name in names:
        async with client.delete(f"{MAPS}/{name}") as answer:
            assert answer.status == 200, await answer.text()


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/api/v1/pods", Asked(verb="list", resource="pods")),
        ("GET", "/api/v1/namespaces", Asked(verb="list", resource="namespaces")),
        ("GET", "/api/v1/namespaces/x", Asked(verb="get", resource="namespaces", name="x")),
        ("PUT", "/api/v1/namespaces/x/pods/p", Asked(verb="update", resource="pods", namespace="x", name="p")),
        (
            "GET",
            "/apis/apps/v1/namespaces/x/deployments/d/scale",
            Asked(verb="get", resource="deployments/scale", namespace="x", name="d"),
        ),
        ("DELETE", "/api/v1/namespaces/x/pods", Asked(verb="delete", resource="pods", namespace="x")),
        ("GET", "/readyz", Asked(verb="get", resource="/readyz")),
    ],
)
def test_a_call_is_known_by_its_path(method: str, path: str, asked: Asked) -> None:
    """Verb, resource, namespace and name, as the rights of Kubernetes name them."""
    assert asked_of(method, path, {}) == asked


def test_watches_and_applies_are_told_from_gets_and_patches() -> None:
    """By the query and by the type of the body."""
    assert asked_of("GET", "/api/v1/pods", {"watch": "1"}).verb == "watch"
    assert asked_of("PATCH", "/api/v1/namespaces/x/pods/p", {}, "application/apply-patch+yaml").verb == "apply"
    assert asked_of("PATCH", "/api/v1/namespaces/x/pods/p", {}, "application/merge-patch+json").verb == "patch"


async def test_all_passes_and_is_counted(proxy: ApiserverProxy) -> None:
    """Objects are made, applied, watched and gone as without it."""
    async with watching(proxy) as (client, watch):
        await make(client, "one")
        headers = {"Content-Type": "application/apply-patch+yaml"}
        query = {"fieldManager": "test", "force": "true"}
        async with client.patch(f"{MAPS}/one", params=query, headers=headers, data=json.dumps(named("one"))) as said:
            assert said.status == 200
        await remove(client, "one")
        await watch.hears(3)
        assert [kind for kind, _ in watch.heard] == ["ADDED", "MODIFIED", "DELETED"]
        assert proxy.open_watches == {"configmaps": 1}
        counted = proxy.counts()
    assert counted == {
        "list configmaps": 1,
        "watch configmaps": 1,
        "create configmaps": 1,
        "apply configmaps": 1,
        "delete configmaps": 1,
    }
    assert [one.asked.verb for one in proxy.writes()] == ["create", "apply", "delete"]


async def test_chosen_calls_fail_so_many_times(proxy: ApiserverProxy) -> None:
    """The error is the API's own kind; other calls pass; the API has not heard of those that failed."""
    fault = proxy.fail(429, verb="create", reason="TooManyRequests", times=2, retry_after_s=3)
    async with session(proxy) as client:
        for _ in range(2):
            async with client.post(MAPS, json=named("denied")) as answer:
                assert answer.status == 429
                assert answer.headers["Retry-After"] == "3"
                assert (await answer.json())["reason"] == "TooManyRequests"
        async with client.get(f"{MAPS}/denied") as answer:
            assert answer.status == 404
        await make(client, "denied")
        await remove(client, "denied")
    assert fault.hits == 2
    assert len(proxy.writes()) == 2


async def test_an_answer_gets_lost_before_or_after_the_deed(proxy: ApiserverProxy) -> None:
    """The caller hears nothing; in one case it is done, in the other not."""
    async with session(proxy) as client:
        for cut, there in (("before", 404), ("after", 200)):
            proxy.lose(verb="create", cut=cut)
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await make(client, f"lost-{cut}")
            async with client.get(f"{MAPS}/lost-{cut}") as answer:
                assert answer.status == there
        await remove(client, "lost-after")
    assert [one.asked.verb for one in proxy.writes()] == ["create", "delete"]


async def test_a_frozen_watch_says_nothing_and_does_not_end(proxy: ApiserverProxy) -> None:
    """Once it is thawed all that was held back comes."""
    async with watching(proxy) as (client, watch):
        proxy.freeze("configmaps")
        await make(client, "frozen")
        await remove(client, "frozen")
        await asyncio.sleep(0.3)
        assert watch.heard == []
        assert not watch.ended
        proxy.thaw()
        await watch.hears(2)


async def test_deleted_events_are_dropped(proxy: ApiserverProxy) -> None:
    """Only those; what comes later passes."""
    faults = proxy.spoil("configmaps", WatchFaults(drops=deleted()))
    async with watching(proxy) as (client, watch):
        await make(client, "kept-for-ever")
        await remove(client, "kept-for-ever")
        await make(client, "next")
        await watch.hears(2)
        assert watch.heard == [("ADDED", "kept-for-ever"), ("ADDED", "next")]
        assert faults.dropped == 1
        await remove(client, "next")


async def test_events_come_late_twice_or_in_the_wrong_order(proxy: ApiserverProxy) -> None:
    """As each fault says."""
    async with watching(proxy) as (client, watch):
        proxy.spoil("configmaps", WatchFaults(delay_s=0.5))
        began_s = time.monotonic()
        await make(client, "late")
        await watch.hears(1)
        assert time.monotonic() - began_s >= 0.5
        proxy.spoil("configmaps", WatchFaults(repeats=True))
        await make(client, "twice")
        await watch.hears(4)
        assert watch.heard[1:] == [("ADDED", "twice"), ("ADDED", "twice"), ("ADDED", "late")]
        proxy.spoil("configmaps", WatchFaults(swaps=True))
        await make(client, "first", "second")
        await watch.hears(6)
        assert watch.heard[4:] == [("ADDED", "second"), ("ADDED", "first")]
        proxy.heal()
        await remove(client, "late", "twice", "first", "second")


async def test_an_old_list_is_served_once(proxy: ApiserverProxy) -> None:
    """The next one is of now."""
    async with session(proxy) as client:
        proxy.keep_list(MAPS)
        await make(client, "newer")
        proxy.serve_kept_list(MAPS)
        names = []
        for _ in range(2):
            async with client.get(MAPS) as answer:
                names.append({one["metadata"]["name"] for one in (await answer.json())["items"]})
        assert "newer" not in names[0]
        assert "newer" in names[1]
        await remove(client, "newer")


async def test_connections_are_cut_refused_and_taken_again(proxy: ApiserverProxy) -> None:
    """Watches end without a word, and nobody gets in until it listens again."""
    async with watching(proxy) as (client, watch):
        await asyncio.to_thread(proxy.refuse)
        async with asyncio.timeout(SOON_S):
            while not watch.ended:
                await asyncio.sleep(0.01)
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(MAPS)
        await asyncio.to_thread(proxy.listen)
        async with client.get(MAPS) as answer:
            assert answer.status == 200


async def test_a_silent_proxy_takes_calls_and_answers_none(proxy: ApiserverProxy) -> None:
    """Until it is thawed."""
    async with session(proxy) as client:
        proxy.silence()
        asking = asyncio.create_task(client.get(MAPS))
        await asyncio.sleep(0.2)
        assert not asking.done()
        proxy.thaw()
        async with await asking as answer:
            assert answer.status == 200


async def test_callers_have_the_rights_of_their_account(place: ControlPlane) -> None:
    """An account without rights may do nothing."""
    with apiserver_proxy(place, account=f"{NAMESPACE}:nobody") as proxy:
        async with session(proxy) as client, client.get(MAPS) as answer:
            assert answer.status == 403
            assert f"system:serviceaccount:{NAMESPACE}:nobody" in (await answer.json())["message"]
