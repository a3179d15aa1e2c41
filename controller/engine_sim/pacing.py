"""Token timing of an external API: a first token after a while, then a steady flow. Used by the stand-in provider."""

from __future__ import annotations

import asyncio
import time

from controller.core.models import Model, Provider
from controller.engine_sim.asks import Ask, Refusal
from controller.engine_sim.faults import Faults
from controller.engine_sim.jobs import Job, Track
from controller.engine_sim.plans import plan
from controller.engine_sim.text import block_hashes

_FLUSH_S = 0.04  # tokens that come closer together than this share one event
_CACHE_BLOCK_TOKENS = 128
_CACHE_FROM_TOKENS = 1024  # OpenAI: prompts from 1,024 tokens on, in steps of 128
_CACHE_BLOCKS = 200_000


class PromptCache:
    """The provider's prompt cache: long prefixes seen before are billed as cached."""

    def __init__(self) -> None:
        self._seen: dict[int, None] = {}

    def look_up(self, data: bytes, salt: str) -> int:
        """Cached tokens of this prompt; afterwards the whole prompt is cached."""
        blocks = block_hashes(data, salt, _CACHE_BLOCK_TOKENS)
        hits = next((index for index, block in enumerate(blocks) if block not in self._seen), len(blocks))
        self._seen.update(dict.fromkeys(blocks))
        while len(self._seen) > _CACHE_BLOCKS:
            del self._seen[next(iter(self._seen))]
        cached = hits * _CACHE_BLOCK_TOKENS
        return cached if cached >= _CACHE_FROM_TOKENS else 0


def start(ask: Ask, model: Model, provider: Provider, cache: PromptCache, hold_at: int | None) -> Job:
    """A job whose tokens `pace` will bring; Refusal when a prompt does not fit the context."""
    tracks = []
    for prompt in ask.prompts:
        room = model.context_tokens - prompt.tokens
        if room < 1 or (ask.max_tokens or 1) > min(room, model.max_output_tokens):
            raise Refusal(
                400,
                f"This model's maximum context length is {model.context_tokens} tokens and it writes at most "
                f"{model.max_output_tokens}; you asked for {prompt.tokens} + {ask.max_tokens or 1}.",
                param="messages" if ask.chat else "prompt",
            )
        cached = cache.look_up(prompt.data, f"{provider.name}/{model.model_id}/{ask.cache_salt}")
        for index in range(ask.n):
            chosen = plan(ask, prompt, index, room_tokens=min(room, model.max_output_tokens))
            track = Track(plan=chosen, input_tokens=prompt.tokens, submitted_s=time.monotonic())
            track.cached_tokens = min(cached, prompt.tokens)
            tracks.append(track)
    return Job(tracks=tuple(tracks), every_token=ask.stream or hold_at is not None, hold_at=hold_at)


async def pace(job: Job, provider: Provider, faults: Faults) -> None:
    """Bring the tokens in time; ends with the job. A unary answer needs two wake-ups in all."""
    slow = faults.slowness
    await asyncio.sleep(provider.ttft_s * slow)
    begun_s = time.monotonic()
    longest = max(len(track.plan.pieces) for track in job.tracks)
    gap_s = slow / provider.tokens_per_s
    while not job.closed:
        if faults.frozen:
            await asyncio.sleep(_FLUSH_S)
            continue
        due = 1 + int((time.monotonic() - begun_s) / gap_s)
        for track in job.tracks:
            track.emitted = min(len(track.plan.pieces), due)
        job.ring(finished=job.finished)
        if job.finished:
            return
        rest_s = (longest - due) * gap_s + 0.001
        await asyncio.sleep(max(gap_s, min(_FLUSH_S, rest_s)) if job.every_token else rest_s)
