"""When every target is full, and when a key is taken back: what the official client sees."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import openai
import pytest

from tests.e2e.stack import Stack, eventually, running_stack

# One replica with one slot, a tight SLO, and nowhere to spill to.
FULL = """
phase: phase3
pools:
  - name: llama-8b
    model: llama-8b-self
    engine: {max_num_seqs: 1}
    slo: {ttft_p95_s: 0.5, tpot_p95_s: 0.1}
    replicas: {min: 1, max: 1}
"""
ASK = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A pool whose only engine is healthy but stands still."""
    with running_stack(tmp_path_factory.mktemp("full"), FULL) as running:
        (replica,) = running.replicas()
        body = json.dumps({"mode": "hang"}).encode()
        with urllib.request.urlopen(f"{replica['url']}/sim/faults", data=body, timeout=5) as answer:
            assert answer.status == 200
        yield running


def test_everything_full_is_429_at_once(full: Stack) -> None:
    """Requests beyond the queue are refused within 100 ms as a rate limit, with Retry-After and a request id."""

    async def scene() -> tuple[openai.RateLimitError, float]:
        async with openai.AsyncOpenAI(base_url=full.base_url, api_key=full.key, max_retries=0, timeout=20) as client:

            async def ask() -> object:
                return await client.chat.completions.create(model="llama-8b", messages=ASK, max_tokens=50)

            waiting = [asyncio.create_task(ask()) for _ in range(4)]
            await asyncio.sleep(1.0)
            took_s = []
            for _ in range(3):
                began_s = time.perf_counter()
                with pytest.raises(openai.RateLimitError) as refused:
                    await ask()
                took_s.append(time.perf_counter() - began_s)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            return refused.value, min(took_s)

    error, took_s = asyncio.run(scene())
    assert error.code == "overloaded"
    assert error.request_id
    assert int(error.response.headers["retry-after"]) >= 1
    assert error.response.headers["x-spillway-error-source"] == "pool"
    assert took_s < 0.1
    eventually(lambda: full.gateway_metric("spillway_in_flight") == 0, within_s=3)


def _keys(stack: Stack, *words: str) -> str:
    command = [sys.executable, "-m", "controller.cli.main", "keys", *words, "--state-dir", str(stack.state_dir)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.strip()


def test_a_new_key_works_and_a_revoked_one_is_refused_within_five_seconds(stack: Stack) -> None:
    """Without a restart, both ways; the refusal is the SDK's AuthenticationError."""
    key = _keys(stack, "create", "laptop", "--tenant", "acme")

    def accepted() -> bool:
        try:
            return bool(stack.client(api_key=key).models.list().data)
        except openai.AuthenticationError:
            return False

    eventually(accepted, within_s=5)
    _keys(stack, "revoke", key.split("-")[1], "--yes")
    eventually(lambda: not accepted(), within_s=5)
    with pytest.raises(openai.AuthenticationError) as refused:
        stack.client(api_key=key).models.list()
    assert refused.value.code == "invalid_api_key"
    assert refused.value.response.headers["x-should-retry"] == "false"
