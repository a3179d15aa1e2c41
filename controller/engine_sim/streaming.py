"""Turns a job's progress into one answer, unary or streamed: what the engine and the stand-in provider share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from controller.engine_sim.jobs import EngineStopped, Job, Track
from controller.engine_sim.web import JSON_TYPE, SSE_TYPE, Exchange, Headers

ANSWER_DEADLINE_S = 3600.0


class Voice(Protocol):
    """How a dialect words an answer; `Wording` is OpenAI's."""

    def whole(self, tracks: tuple[Track, ...]) -> bytes:
        """The unary answer."""
        ...

    def opening(self, choices: int) -> bytes:
        """What comes before the first token."""
        ...

    def tokens(self, index: int, track: Track, seen: int) -> bytes:
        """What a choice has got since `seen` tokens."""
        ...

    def closing(self, tracks: tuple[Track, ...]) -> bytes:
        """What comes after the last token."""
        ...


async def relay(
    exchange: Exchange,
    job: Job,
    voice: Voice,
    *,
    stream: bool,
    strike: str,
    abort: Callable[[], None],
    headers: Headers = (),
) -> bool:
    """Answer from the job until it is complete; False when it was cut short. Whatever happens, the job is released."""
    watcher = exchange.on_leave(abort)
    try:
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            if job.hold_at == 0:
                raise _Struck
            if stream:
                await _stream(exchange, job, voice, headers)
            else:
                await _whole(exchange, job, voice, headers)
    except _Struck:
        if strike == "reset":
            exchange.cut()
        else:
            await _stand_still(watcher)
    except EngineStopped:
        exchange.cut()
    else:
        return True
    finally:
        watcher.cancel()
        abort()
    return False


class _Struck(Exception):
    """The failure switch takes effect now."""


async def _stand_still(watcher: asyncio.Task[None]) -> None:
    await asyncio.wait([watcher], timeout=ANSWER_DEADLINE_S)


async def _whole(exchange: Exchange, job: Job, voice: Voice, headers: Headers) -> None:
    while not job.finished:
        if job.hold_at is not None and all(track.emitted >= job.hold_at for track in job.tracks):
            raise _Struck
        await job.news()
    if job.hold_at is not None:
        raise _Struck
    await exchange.answer(200, voice.whole(job.tracks), [JSON_TYPE, *headers])


async def _stream(exchange: Exchange, job: Job, voice: Voice, headers: Headers) -> None:
    tracks = job.tracks
    seen = [0] * len(tracks)
    await exchange.start(200, [SSE_TYPE, *headers])  # as vLLM does: the head is no sign of a token
    await _first_token(job)
    data = voice.opening(len(tracks))
    while True:
        for index, track in enumerate(tracks):
            if track.emitted > seen[index]:
                data += voice.tokens(index, track, seen[index])
                seen[index] = track.emitted
        if job.finished and job.hold_at is None:
            break
        if data:
            await exchange.write(data)
            data = b""
        if job.hold_at is not None and (job.finished or min(seen) >= job.hold_at):
            raise _Struck
        await job.news()
    await exchange.end(data + voice.closing(tracks))


async def _first_token(job: Job) -> None:
    while not any(track.emitted for track in job.tracks):
        await job.news()
