"""What callers see when parts die, callers leave, money runs out, or the gateway is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import psutil
import pytest

from tests.e2e.stack import Stack, eventually, running_stack

TWO_REPLICAS = """
phase: phase3
pools:
  - name: llama-8b
    model: llama-8b-self
    instance_type: g5.2xlarge
    engine: {max_model_len_tokens: 8192, max_num_seqs: 64}
    replicas: {min: 2, max: 2}
    spill: {to: [gpt-4o-mini]}
"""
SMALL_BUDGET = """
phase: phase3
pools:
  - name: llama-8b
    model: llama-8b-self
    instance_type: g5.2xlarge
    engine: {max_model_len_tokens: 8192}
    replicas: {min: 1, max: 1}
budgets:
  usd_per_day: {"*": "0.0001"}
"""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Stack]:
    """One pool of exactly two replicas."""
    with running_stack(tmp_path / "two", TWO_REPLICAS) as running:
        eventually(lambda: "ready=2" in _counts(running), within_s=15)
        yield running


def _counts(stack: Stack) -> str:
    pools = stack.status()["pools"]
    assert isinstance(pools, dict)
    states = [replica["state"] for replica in pools["llama-8b"]["replicas"]]
    return " ".join(f"{state}={states.count(state)}" for state in sorted(set(states)))


async def _stream(client: openai.AsyncOpenAI, tokens: int, begun: asyncio.Semaphore) -> tuple[int, str]:
    """(tokens that came, how it ended: done | error); a simulated token is one word, and a chunk may hold several.

    `begun` is released once, with the first token.
    """
    words = 0
    try:
        stream = await client.chat.completions.create(
            model="llama-8b",
            messages=[{"role": "user", "content": "Go on"}],
            max_tokens=tokens,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                if not words:
                    begun.release()
                words += len(chunk.choices[0].delta.content.split())
    except openai.APIError:
        return words, "error"
    return words, "done"


async def _all(begun: asyncio.Semaphore, count: int) -> None:
    for _ in range(count):
        await begun.acquire()


@pytest.mark.slow
def test_kill_one_engine_with_fifty_streams(two: Stack) -> None:
    """Streams on the dead replica end in an explicit error, all others finish, and the replica is replaced."""

    async def scene() -> list[tuple[int, str]]:
        async with openai.AsyncOpenAI(base_url=two.base_url, api_key=two.key, max_retries=0, timeout=60) as client:
            begun = asyncio.Semaphore(0)
            streams = [asyncio.create_task(_stream(client, 150, begun)) for _ in range(50)]
            await asyncio.wait_for(_all(begun, 50), 30)
            victim = two.replicas()[0]
            os.kill(int(str(victim["pid"])), signal.SIGKILL)
            return list(await asyncio.wait_for(asyncio.gather(*streams), 60))

    ends = asyncio.run(scene())
    broken = [words for words, end in ends if end == "error"]
    whole = [words for words, end in ends if end == "done"]
    assert len(broken) + len(whole) == 50
    assert all(words == 150 for words in whole)
    assert 0 < len(broken) < 50
    eventually(lambda: two.gateway_metric("spillway_in_flight") == 0, within_s=3)
    eventually(lambda: "ready=2" in _counts(two), within_s=20)
    assert two.client().chat.completions.create(
        model="llama-8b", messages=[{"role": "user", "content": "Still there?"}], max_tokens=3
    )


@pytest.mark.slow
def test_requests_before_the_first_byte_survive_a_kill(two: Stack) -> None:
    """Unary requests in flight on a killed replica are answered by the other one: nothing is lost."""

    async def scene() -> list[str]:
        async with openai.AsyncOpenAI(base_url=two.base_url, api_key=two.key, max_retries=0, timeout=60) as client:

            async def ask() -> str:
                answer = await client.chat.completions.create(
                    model="llama-8b", messages=[{"role": "user", "content": "Hi"}], max_tokens=40
                )
                return answer.choices[0].message.content or ""

            asks = [asyncio.create_task(ask()) for _ in range(20)]
            await asyncio.sleep(0.4)
            os.kill(int(str(two.replicas()[0]["pid"])), signal.SIGKILL)
            return list(await asyncio.wait_for(asyncio.gather(*asks), 60))

    assert len(asyncio.run(scene())) == 20


def _raw_request(stack: Stack, *, stream: bool) -> socket.socket:
    body = json.dumps(
        {
            "model": "llama-8b",
            "messages": [{"role": "user", "content": "Go on"}],
            "max_tokens": 800,
            "ignore_eos": True,
            "stream": stream,
        }
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {stack.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", stack.port), timeout=5)
    connection.sendall(head.encode() + body)
    return connection


def _engine_running(stack: Stack) -> float:
    total = 0.0
    for replica in stack.replicas():
        port = int(str(replica["url"]).rsplit(":", 1)[1])
        for line in stack.get_text(port, "/metrics").splitlines():
            if line.startswith(("vllm:num_requests_running{", "vllm:num_requests_waiting{")) and "llama-3.1-8b" in line:
                total += float(line.rsplit(" ", 1)[1])
    return total


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.5], ids=["at once", "before first token", "mid answer"])
def test_a_caller_who_leaves_frees_the_engine(stack: Stack, *, stream: bool, after_s: float) -> None:
    """At whatever stage the caller goes, engine and gateway are idle again within a second or so."""
    connection = _raw_request(stack, stream=stream)
    time.sleep(after_s)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()
    time.sleep(0.05)
    eventually(lambda: stack.gateway_metric("spillway_in_flight") == 0, within_s=3)
    eventually(lambda: _engine_running(stack) == 0, within_s=3)


def test_a_nearly_spent_budget_is_never_overshot(tmp_path: Path) -> None:
    """Forty concurrent paid requests on a tiny budget: some are refused, spend stays within, own pools stay open."""
    with running_stack(tmp_path / "budget", SMALL_BUDGET) as stack:

        async def scene() -> list[int]:
            async with openai.AsyncOpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=0) as client:

                async def ask() -> int:
                    try:
                        await client.chat.completions.create(
                            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], max_tokens=20
                        )
                    except openai.APIStatusError as error:
                        return error.status_code if error.response.headers["x-should-retry"] == "false" else 0
                    return 200

                return list(await asyncio.gather(*(ask() for _ in range(40))))

        statuses = asyncio.run(scene())
        assert 0 < statuses.count(200) < 40
        assert 0 not in statuses

        def bought() -> tuple[int, int]:
            with contextlib.closing(sqlite3.connect(stack.state_dir / "spillway.db")) as db:
                query = "SELECT COUNT(*), SUM(cost_nanousd) FROM ledger WHERE target_kind = 'external'"
                return tuple(db.execute(query).fetchone())

        eventually(lambda: bought()[0] == statuses.count(200), within_s=5)
        _, spent = bought()
        assert 0 < spent <= 100_000
        assert sum(row["cost_nanousd"] for row in stack.standin_usage().values()) == spent
        own = stack.client().chat.completions.with_raw_response.create(
            model="llama-8b", messages=[{"role": "user", "content": "Hi"}], max_tokens=3
        )
        assert own.headers["x-spillway-target"] == "llama-8b"


@pytest.mark.slow
def test_sigterm_lets_open_streams_finish(two: Stack) -> None:
    """Told to stop, the gateway turns unready at once, finishes every open stream, then exits; `up` starts it anew."""

    async def scene() -> list[tuple[int, str]]:
        async with openai.AsyncOpenAI(base_url=two.base_url, api_key=two.key, max_retries=0, timeout=60) as client:
            begun = asyncio.Semaphore(0)
            streams = [asyncio.create_task(_stream(client, 150, begun)) for _ in range(20)]
            await asyncio.wait_for(_all(begun, 20), 30)
            two.gateway_process().send_signal(signal.SIGTERM)
            return list(await asyncio.wait_for(asyncio.gather(*streams), 60))

    before = two.gateway_process().pid
    assert asyncio.run(scene()) == [(150, "done")] * 20
    eventually(lambda: not psutil.pid_exists(before), within_s=10)

    def serves_again() -> bool:
        try:
            return bool(two.client().models.list().data)
        except openai.APIConnectionError:
            return False

    eventually(serves_again, within_s=10)


@pytest.mark.slow
def test_a_restarted_controller_changes_nothing(two: Stack) -> None:
    """Killing the controller loses no replica and no request; its successor adopts what runs."""
    before = {str(replica["pid"]) for replica in two.replicas()}
    controller = next(
        child for child in psutil.Process(two.process.pid).children(recursive=True) if "controller" in child.cmdline()
    )
    controller.kill()
    assert two.client().chat.completions.create(
        model="llama-8b", messages=[{"role": "user", "content": "Hi"}], max_tokens=3
    )

    def back() -> bool:
        try:
            return "ready=2" in _counts(two)
        except OSError:
            return False

    eventually(back, within_s=15)
    assert {str(replica["pid"]) for replica in two.replicas()} == before


@pytest.mark.slow
def test_up_twice_leaves_nothing_behind(tmp_path: Path) -> None:
    """A killed `up` is cleaned up by the next one, on the same ports and state folder."""
    with running_stack(tmp_path / "one", TWO_REPLICAS) as first:
        orphans = psutil.Process(first.process.pid).children(recursive=True)
        orphans += [psutil.Process(int(str(replica["pid"]))) for replica in first.replicas()]
        first.process.kill()
        first.process.wait(5)
        with running_stack(tmp_path / "one", TWO_REPLICAS) as second:
            assert not [process for process in orphans if process.is_running() and process.status() != "zombie"]
            assert second.client().models.list().data
