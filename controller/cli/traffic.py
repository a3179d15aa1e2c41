"""Plays recorded traffic against a gateway, each request at its own time, and sums up what came back.

Called by `spillway load` and `spillway demo`. Prompts are filler of the recorded length: traces hold no text.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from controller.adapters.local_http import Answer
from controller.replay.traces import TraceRequest

CHARS_PER_TOKEN = 4
TEMPLATE_CHARS = 28  # what the chat template adds around one message
FILLER = "read the next part of this file and say what it does before going on with the one after it "


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request to send: when and how large, to which model, with which complexity said."""

    row: TraceRequest
    model: str
    complexity: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One request and what came of it. Times are seconds since the start of the run."""

    sent_after_s: float
    ended_after_s: float
    answer: Answer

    @property
    def request_id(self) -> str | None:
        """The gateway's name for it."""
        return self.answer.headers.get("x-request-id")


class Client(Protocol):
    """Streams one chat completion; `adapters.local_http.ChatClient` fits."""

    async def stream(self, body: dict[str, object]) -> Answer:
        """What came of it."""
        ...


def body_of(number: int, ask: Ask) -> dict[str, object]:
    """A streamed chat request of the recorded sizes; each prompt begins differently, so no cache serves it."""
    row = ask.row
    chars = max(8, row.input_tokens * CHARS_PER_TOKEN - TEMPLATE_CHARS)
    text = f"{number:07d} " + FILLER * (chars // len(FILLER) + 1)
    return {
        "model": ask.model,
        "metadata": {} if ask.complexity is None else {"complexity": ask.complexity},
        "messages": [{"role": "user", "content": text[:chars]}],
        "max_tokens": max(1, row.output_tokens),
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


class Player:
    """Sends requests in order of arrival; `played` grows as answers end."""

    def __init__(
        self,
        client: Client,
        asks: Sequence[Ask],
        *,
        speed: float = 1.0,
    ) -> None:
        self._client = client
        self._asks = asks
        self._speed = speed
        self._stopped = asyncio.Event()
        self._started_s = 0.0
        self.sent = 0
        self.played: list[Played] = []

    @property
    def open(self) -> int:
        """Requests under way."""
        return self.sent - len(self.played)

    @property
    def after_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started_s

    def stop(self) -> None:
        """Nothing more is sent; what is under way goes on."""
        self._stopped.set()

    async def run(self) -> None:
        """Returns when every request that was sent has ended."""
        self._started_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, ask in enumerate(self._asks):
                if await self._wait(ask.row.arrival_s / self._speed - self.after_s):
                    return
                self.sent += 1
                group.create_task(self._play(number, ask), name=f"request-{number}")

    async def _wait(self, seconds: float) -> bool:
        """Sleeps; True when stopped."""
        if seconds <= 0:
            return self._stopped.is_set()
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return False
        return True

    async def _play(self, number: int, ask: Ask) -> None:
        sent_after_s = self.after_s
        answer = await self._client.stream(body_of(number, ask))
        self.played.append(Played(sent_after_s=sent_after_s, ended_after_s=self.after_s, answer=answer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run came to. Percentiles are of answered requests; None when there was none."""

    sent: int
    answered: int
    spilled: int
    failed: int
    by_target: dict[str, int]
    errors: dict[str, int]
    input_tokens: int
    output_tokens: int
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    ttft_p99_s: float | None
    e2e_p50_s: float | None
    e2e_p95_s: float | None
    simulated: int


def summarise(played: Sequence[Played]) -> Summary:
    """Counts and percentiles over all requests of a run."""
    whole = [one.answer for one in played if one.answer.complete]
    ttfts_s = [answer.ttft_s for answer in whole if answer.ttft_s is not None]
    e2es_s = [answer.e2e_s for answer in whole]
    broken = [one.answer for one in played if not one.answer.complete]
    return Summary(
        sent=len(played),
        answered=len(whole),
        spilled=sum(1 for answer in whole if "x-spillway-spilled" in answer.headers),
        failed=len(broken),
        by_target=dict(Counter(answer.headers.get("x-spillway-target", "?") for answer in whole).most_common()),
        errors=dict(Counter(f"{answer.status}: {answer.error or 'cut'}"[:160] for answer in broken).most_common(5)),
        input_tokens=sum(answer.input_tokens or 0 for answer in whole),
        output_tokens=sum(answer.output_tokens or 0 for answer in whole),
        ttft_p50_s=quantile(ttfts_s, 0.50),
        ttft_p95_s=quantile(ttfts_s, 0.95),
        ttft_p99_s=quantile(ttfts_s, 0.99),
        e2e_p50_s=quantile(e2es_s, 0.50),
        e2e_p95_s=quantile(e2es_s, 0.95),
        simulated=sum(1 for answer in whole if "x-spillway-simulated" in answer.headers),
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the values does not pass; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]
