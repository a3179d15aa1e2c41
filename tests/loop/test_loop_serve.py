"""The controller as a process: a steady pace that no failure ends, and what it answers on a real socket."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http.client import HTTPResponse

import pytest
from loop_values import POOL, replica
from loop_world import World

from controller.loop import serve
from controller.loop.serve import Pace
from controller.web.server import listen


class Counting(Pace):
    """Notes when its ticks begin and whether it is healthy then; the first ones fail."""

    def __init__(self, world: World, *, failures: int = 0, tick_s: float = 0.01) -> None:
        super().__init__(world.loop)
        controller = replace(world.loop.settings.controller, tick_s=tick_s)
        world.loop.reconfigure(replace(world.loop.settings, controller=controller), frozenset())
        self.times: list[float] = []
        self.health: list[bool] = []
        real = world.loop.tick

        async def tick() -> object:
            self.times.append(time.monotonic())
            self.health.append(self.healthy())
            if len(self.times) <= failures:
                raise RuntimeError("surprise")
            return await real()

        world.loop.tick = tick  # type: ignore[method-assign, assignment]


@pytest.fixture
def world() -> World:
    """A pool with a ready replica."""
    made = World(POOL)
    made.platform.add(replica("a"))
    return made


async def until(check: Callable[[], bool]) -> None:
    """Returns as soon as it is true."""
    async with asyncio.timeout(5.0):
        while not check():
            await asyncio.sleep(0.005)


def paced(pace: Pace, body: Callable[[], Awaitable[None]]) -> None:
    """Runs the pace while `body` does, and stops it."""

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(pace.run())
            await body()
            pace.stop()

    asyncio.run(both())


def test_ticks_come_at_a_steady_pace(world: World) -> None:
    """Twenty ticks of 10 ms take 200 ms at least: none is hurried."""
    pace = Counting(world)
    paced(pace, lambda: until(lambda: len(pace.times) >= 21))
    assert 0.19 <= pace.times[20] - pace.times[0] < 5.0


def test_a_failing_tick_is_counted_and_the_next_one_tries_again(world: World) -> None:
    """A surprise in a tick ends nothing; health comes with the first tick that is done."""
    pace = Counting(world, failures=3)
    paced(pace, lambda: until(lambda: len(pace.times) > 4))
    assert pace.health[:5] == [False] * 4 + [True]
    assert world.loop.metrics.ticks["failed"] == 3
    assert world.loop.metrics.ticks["done"] == len(pace.times) - 3
    assert world.loop.view.revision == len(pace.times) - 3


def test_a_tick_that_hangs_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed that never answers costs one deadline, not the controller."""
    monkeypatch.setattr(serve, "TICK_DEADLINE_S", 0.05)
    answers = world.gateway.scrape

    async def hang() -> None:
        world.gateway.scrape = answers  # type: ignore[method-assign]
        await asyncio.Event().wait()

    world.gateway.scrape = hang  # type: ignore[method-assign, assignment]
    pace = Counting(world)
    paced(pace, lambda: until(pace.healthy))
    assert world.loop.metrics.ticks["failed"] == 1


def test_stopping_lets_the_tick_under_way_finish(world: World) -> None:
    """No tick is cut in half by a stop, and none begins after it."""
    pace = Counting(world)
    paced(pace, lambda: until(lambda: bool(pace.times)))
    assert world.loop.view.revision == len(pace.times)


def test_health_goes_when_no_tick_has_finished_lately(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that is stuck says so."""
    pace = Counting(world)
    paced(pace, lambda: until(pace.healthy))
    monkeypatch.setattr(serve, "STALE_S", 0.0)
    assert not pace.healthy()


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Status and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        answer: HTTPResponse
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_process_serves_health_metrics_and_status_until_it_is_told_to_stop(world: World) -> None:
    """Real sockets, a real SIGTERM: every route answers, then the loop closes and replicas go on running."""
    listener = listen("127.0.0.1", 0)
    port = int(listener.getsockname()[1])
    answers: dict[str, tuple[int, str]] = {}

    async def ask() -> None:
        await until(lambda: world.loop.view.revision > 1)
        for path in ("/healthz", "/readyz", "/metrics", "/v1/status", "/nowhere"):
            answers[path] = await asyncio.to_thread(get, port, path)
        answers["POST"] = await asyncio.to_thread(get, port, "/healthz", "POST")
        signal.raise_signal(signal.SIGTERM)

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(serve.run(world.loop, listener))
            group.create_task(ask())

    with listener:
        asyncio.run(both())
    assert {path: status for path, (status, _) in answers.items()} == {
        "/healthz": 200, "/readyz": 200, "/metrics": 200, "/v1/status": 200, "/nowhere": 404, "POST": 404,
    }  # fmt: skip
    assert 'spillway_pool_replicas{pool="llama-8b",state="ready"} 1.0' in answers["/metrics"][1]
    view = json.loads(answers["/v1/status"][1])
    assert view["pools"]["llama-8b"]["replicas"][0]["state"] == "ready"
    assert world.platform.closed
    assert list(world.platform.replicas) == ["a"]


def test_before_the_first_tick_it_is_not_healthy(world: World) -> None:
    """Health is about ticks that were done, not about a port that is open."""
    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    status = serve.Status(Pace(world.loop))
    asyncio.run(status({"type": "http", "method": "GET", "path": "/healthz"}, None, send))
    assert sent[0]["status"] == 503
    asyncio.run(status({"type": "lifespan"}, None, send))
    assert len(sent) == 2


def test_a_port_that_is_taken_is_an_error_and_leaves_no_socket() -> None:
    """Two controllers cannot share a port."""
    with listen("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", int(first.getsockname()[1]))


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_it_listens_on_ipv6_too() -> None:
    """A host with colons is an IPv6 address."""
    try:
        listener = listen("::1", 0)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with listener:
        assert listener.family is socket.AF_INET6
