"""A watch keeps its picture fresh through everything that an API server or what stands before it may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiohttp import web
from structlog.testing import capture_logs

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import PODS
from controller.adapters.kubernetes_watch import KubernetesWatch
from controller.telemetry.gateway_metrics import registry_of, render
from controller.telemetry.kubernetes_metrics import KubernetesMetrics
from tests.adapters.fake_api_objects import status_error
from tests.adapters.fake_apiserver import FakeApiServer, running_apiserver

RESOURCE = "/api/v1/pods"


def pod(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


@asynccontextmanager
async def watching(api: FakeApiServer, **options: float) -> AsyncIterator[KubernetesWatch]:
    """A watch of pods that hurries: a rest is 50 ms."""
    client = KubernetesClient(api.access(), metrics=KubernetesMetrics())
    watch = KubernetesWatch(client, PODS, first_pause_s=0.05, **options)
    task = asyncio.create_task(watch.run(), name="watch")
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def until(holds: Callable[[], bool], patience_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline_s, "it never came true"
        await asyncio.sleep(0.01)


def lists(api: FakeApiServer) -> int:
    return len(api.calls) - api.watches.began


async def test_what_is_there_and_what_changes() -> None:
    """The list first, then every change as it comes; listeners hear of each."""
    async with running_apiserver() as api:
        await api.put(RESOURCE, pod("a"))
        await api.put(RESOURCE, pod("x"), "elsewhere")
        async with watching(api) as watch:
            heard: list[list[str]] = []
            watch.on_change(lambda: heard.append(sorted(watch.objects)))
            assert await watch.wait_synced(10.0)
            await until(lambda: api.watches.open == 1)
            await api.put(RESOURCE, pod("b"))
            await api.put(RESOURCE, pod("a", phase="Running"))
            await api.drop(RESOURCE, "b")
            await until(lambda: len(heard) == 4)
            assert heard == [["a"], ["a", "b"], ["a", "b"], ["a"]]
            assert watch.objects["a"]["status"] == {"phase": "Running"}
            assert watch.age_s() < 5.0
            assert lists(api) == 1


async def test_windows_end_and_the_next_goes_on_from_there() -> None:
    """The server ends a window by itself: no list is needed, and nothing is lost in between."""
    async with running_apiserver() as api, watching(api, window_s=1) as watch:
        await until(lambda: api.watches.began >= 2)
        await api.put(RESOURCE, pod("late"))
        await until(lambda: "late" in watch.objects)
        assert lists(api) == 1


async def test_a_frozen_watch_is_noticed() -> None:
    """A window that does not end in time is given up; all is listed, though the next one is frozen too."""
    async with running_apiserver() as api, watching(api, window_s=1, late_s=0.3) as watch:
        await until(lambda: api.watches.open == 1)
        api.watches.frozen = True
        await api.put(RESOURCE, pod("unseen"))
        began = api.watches.began
        await until(lambda: api.watches.began > began)
        await until(lambda: "unseen" in watch.objects)
        assert api.watches.frozen


async def test_a_lost_deletion_is_noticed_by_the_next_list() -> None:
    """A DELETED event that was swallowed leaves a ghost until everything is listed again."""
    async with running_apiserver() as api:
        await api.put(RESOURCE, pod("ghost"))
        async with watching(api, resync_s=2.0) as watch:
            await until(lambda: api.watches.open == 1)
            api.watches.lose.append("DELETED")
            await api.drop(RESOURCE, "ghost")
            await api.put(RESOURCE, pod("other"))
            await until(lambda: "other" in watch.objects)
            assert "ghost" in watch.objects
            await until(lambda: "ghost" not in watch.objects)


async def test_a_forgotten_history_means_one_list() -> None:
    """After 410 all is listed once, and watched from there."""
    async with running_apiserver() as api, watching(api) as watch:
        await until(lambda: api.watches.open == 1)
        await api.put(RESOURCE, pod("a"))
        await until(lambda: "a" in watch.objects)
        api._version += 1  # elsewhere in the cluster
        await api.compact()
        await until(lambda: lists(api) == 2 and api.watches.open == 1)
        await api.put(RESOURCE, pod("b"))
        await until(lambda: "b" in watch.objects)
        assert lists(api) == 2


async def test_events_that_come_twice_are_heard_once() -> None:
    """A change is told to listeners once, however often it comes."""
    async with running_apiserver() as api:
        api.watches.twice = True
        async with watching(api) as watch:
            told: list[int] = []
            watch.on_change(lambda: told.append(len(watch.objects)))
            await until(lambda: api.watches.open == 1)
            for name in "abc":
                await api.put(RESOURCE, pod(name))
            await until(lambda: len(watch.objects) == 3)
            await asyncio.sleep(0.1)
            assert told == [0, 1, 2, 3]


async def test_while_the_api_is_gone_the_picture_stays() -> None:
    """Nothing is forgotten while calls fail; ever fewer are made; after it all is caught up without a list."""
    async with running_apiserver() as api:
        await api.put(RESOURCE, pod("a"))
        async with watching(api, window_s=1) as watch:
            await watch.wait_synced(10.0)
            api.faults.append(lambda _: (503, status_error(503, "ServiceUnavailable", "not now")))
            await until(lambda: watch.age_s() > 2.0)
            failed = len(api.calls)
            assert sorted(watch.objects) == ["a"]
            api.faults.clear()
            await api.put(RESOURCE, pod("b"))
            await until(lambda: "b" in watch.objects)
            assert failed < 12
            assert lists(api) - failed < 3


async def test_who_does_not_answer_is_asked_again_soon() -> None:
    """Pauses grow while the API says no; where nobody answers they stay short, so that it is found as it comes back."""
    async with running_apiserver() as api:
        await api.put(RESOURCE, pod("a"))
        async with watching(api, window_s=1, silent_pause_s=0.1) as watch:
            await until(lambda: api.watches.open == 1)
            access = watch._client._access
            with capture_logs() as said:
                watch._client._access = replace(access, server="http://127.0.0.1:1")  # nobody listens there
                await until(lambda: len(pauses(said)) >= 6)
                assert max(pauses(said)) == 0.1
                silent = len(pauses(said))
                api.faults.append(lambda _: (503, status_error(503, "ServiceUnavailable", "not now")))
                watch._client._access = access
                await until(lambda: pauses(said)[-4:] == [0.05, 0.1, 0.2, 0.4])
                assert len(pauses(said)) <= silent + 5
            api.faults.clear()
            await api.put(RESOURCE, pod("b"))
            await until(lambda: "b" in watch.objects)


def pauses(said: Sequence[Mapping[str, Any]]) -> list[float]:
    return [one["again_in_s"] for one in said if one["event"] == "kubernetes_watch_failed"]


async def test_an_old_list_is_not_believed_at_once() -> None:
    """A cache that lags gives an old list: it is asked again; only when it stays so has the history gone back."""
    async with running_apiserver() as api:
        await api.put(RESOURCE, pod("a"))
        async with watching(api) as watch:
            await until(lambda: api.watches.open == 1)
            api._version += 100
            await api.put(RESOURCE, pod("b"))
            await until(lambda: "b" in watch.objects)
            api.objects.clear()  # as after a restore of yesterday's backup
            api._version = 50
            old: list[int] = []
            api.faults.append(lambda request: old.append(1) if "watch" not in request.query else None)
            await api.compact()
            api._oldest = 500
            await until(lambda: len(old) == 2)
            assert sorted(watch.objects) == ["a", "b"]
            api._oldest = 0
            await until(lambda: not watch.objects)
            assert len(old) == 3


async def test_lines_are_cut_anywhere() -> None:
    """Events arrive in pieces of any size; one that cannot be read means a list."""
    line = b'{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"}}}\n'
    answers = [b"", line + b"\n", b"not json\n"]
    listed: list[int] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            listed.append(1)
            return web.json_response({"metadata": {"resourceVersion": "5"}, "items": []})
        response = web.StreamResponse()
        await response.prepare(request)
        for byte in answers.pop(0) if answers else b"":
            await response.write(bytes([byte]))
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api = FakeApiServer()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with watching(api) as watch:
        await until(lambda: "a" in watch.objects)
        await until(lambda: len(listed) == 2)
    await runner.cleanup()


async def test_what_is_measured() -> None:
    """Calls by verb, kind and code, lists by why, and the age of the picture."""
    async with running_apiserver() as api, watching(api) as watch:
        await until(lambda: api.watches.open == 1)
        text = render(registry_of(watch._client.metrics)).decode()
    assert 'spillway_kubernetes_calls_total{code="200",resource="pods",verb="get"} 1.0' in text
    assert 'spillway_kubernetes_calls_total{code="200",resource="pods",verb="watch"} 1.0' in text
    assert 'spillway_kubernetes_lists_total{resource="pods",why="start"} 1.0' in text
    assert 'spillway_kubernetes_watch_age_seconds{resource="pods"} 0.' in text
