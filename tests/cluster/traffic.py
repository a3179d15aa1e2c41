"""Chat requests at a steady rate through the gateway's Service, and what became of each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp

TIMEOUT_S = 120.0
DONE = b"data: [DONE]"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One request. `error` is empty where it was answered whole."""

    at_s: float  # monotonic
    target: str
    ttft_s: float | None
    lasted_s: float
    error: str


@dataclass(kw_only=True)
class Traffic:
    """What has been asked so far; grows from a thread of its own."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def errors(self) -> Counter[str]:
        """How often each."""
        return Counter(one.error for one in self.answers if one.error)

    def targets(self, since_s: float = 0.0) -> Counter[str]:
        """Who answered, since a moment."""
        return Counter(one.target for one in self.answers if one.at_s >= since_s and not one.error)


async def _ask(client: aiohttp.ClientSession, url: str, key: str, body: dict[str, object]) -> Answer:
    began_s, ttft_s, target, tail = time.monotonic(), None, "", b""
    try:
        headers = {"authorization": f"Bearer {key}"}
        async with client.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
            target = answer.headers.get("x-spillway-target", "")
            async for chunk in answer.content.iter_any():
                if ttft_s is None:
                    ttft_s = time.monotonic() - began_s
                tail = (tail + chunk)[-4096:]
        error = "" if DONE in tail else f"cut, no [DONE]: status {answer.status}: {tail[:200]!r}"
    except (aiohttp.ClientError, TimeoutError, OSError) as problem:
        error = f"{type(problem).__name__}: {problem}"[:200]
    return Answer(at_s=began_s, target=target, ttft_s=ttft_s, lasted_s=time.monotonic() - began_s, error=error)


@dataclass(kw_only=True)
class _Player:
    url: str
    key: str
    body: dict[str, object]
    rate_per_s: float
    traffic: Traffic
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        asyncio.run(self._play())

    async def _play(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        # Not kept: every request is a new connection, which a Service gives to any of its pods.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as client:
            open_ones: set[asyncio.Task[None]] = set()
            due_s = time.monotonic()
            while not self.stop.is_set():
                task = asyncio.create_task(self._one(client))
                open_ones.add(task)
                task.add_done_callback(open_ones.discard)
                due_s = max(due_s + 1.0 / self.rate_per_s, time.monotonic() - 1.0)
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await asyncio.gather(*open_ones)

    async def _one(self, client: aiohttp.ClientSession) -> None:
        self.traffic.answers.append(await _ask(client, self.url, self.key, self.body))


@contextmanager
def playing(
    url: str, key: str, *, model: str, rate_per_s: float, prompt_words: int = 20, max_tokens: int = 32
) -> Iterator[Traffic]:
    """Requests come until the block ends; afterwards each has been answered or has failed.

    Own engines say exactly `max_tokens`, so that a stream takes as long as it shall; a provider stops where it likes.
    """
    words: Sequence[str] = ["word"] * prompt_words
    body: dict[str, object] = {
        "model": model,
        "stream": True,
        "max_tokens": max_tokens,
        "ignore_eos": True,
        "messages": [{"role": "user", "content": " ".join(words)}],
    }
    player = _Player(url=url, key=key, body=body, rate_per_s=rate_per_s, traffic=Traffic())
    thread = threading.Thread(target=player.run, name="traffic", daemon=True)
    thread.start()
    try:
        yield player.traffic
    finally:
        player.stop.set()
        thread.join(timeout=TIMEOUT_S + 10)
        assert not thread.is_alive(), "requests are still open"
