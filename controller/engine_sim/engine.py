"""Drives the pure engine model in real time: one task, one sleep per iteration, whatever the number of streams."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.engine_sim.asks import Ask, Refusal
from controller.engine_sim.faults import Faults
from controller.engine_sim.jobs import Job, Track
from controller.engine_sim.measures import EngineMeasures
from controller.engine_sim.plans import plan
from controller.engine_sim.text import block_hashes
from controller.replay.engine_model import EngineModel, StepResult

_BEHIND_S = 0.5  # a machine this late does not try to catch up
_FROZEN_POLL_S = 0.02
_IDLE_CHECK_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSetup:
    """What one replica is."""

    model_name: str
    steps: StepTimes
    engine: EngineArgs
    speed: float = 1.0


class Engine:
    """Takes jobs, tells them of their tokens, counts everything. `run` must be running."""

    def __init__(self, setup: EngineSetup, faults: Faults) -> None:
        self.setup = setup
        self.model = EngineModel(setup.steps, setup.engine, setup.steps.kv_cache_tokens)
        self.measures = EngineMeasures(setup.model_name)
        self._faults = faults
        self._jobs: dict[int, tuple[Job, Track]] = {}
        self._next_id = 0
        self._work = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Sequences submitted and not finished."""
        return len(self._jobs)

    def submit(self, ask: Ask, hold_at: int | None) -> Job:
        """Queue every choice of every prompt; Refusal when one cannot fit the context."""
        longest = self.setup.engine.max_model_len_tokens
        for prompt in ask.prompts:
            _check_length(prompt.tokens, ask.max_tokens, longest)
        now_s = time.monotonic()
        tracks = []
        entries = []
        for prompt in ask.prompts:
            prefix = block_hashes(prompt.data, ask.cache_salt, self.setup.engine.block_size_tokens)
            for index in range(ask.n):
                chosen = plan(ask, prompt, index, room_tokens=longest - prompt.tokens)
                track = Track(plan=chosen, input_tokens=prompt.tokens, submitted_s=now_s)
                tracks.append(track)
                entries.append((track, prefix))
        job = Job(tracks=tuple(tracks), every_token=ask.stream or hold_at is not None, hold_at=hold_at)
        for track, prefix in entries:
            self._next_id += 1
            self.model.submit(self._next_id, track.input_tokens, len(track.plan.pieces), prefix)
            self._jobs[self._next_id] = (job, track)
        self._work.set()
        return job

    def abort(self, job: Job) -> None:
        """Drop what is left of a job and free its blocks at once."""
        job.close()
        for key in [key for key, (other, _) in self._jobs.items() if other is job]:
            _, track = self._jobs.pop(key)
            self.model.abort(key)
            self.measures.aborted(track)

    def abort_all(self) -> None:
        """Drop everything, as when the process ends."""
        for job in {id(job): job for job, _ in self._jobs.values()}.values():
            self.abort(job)

    async def run(self) -> None:
        """Iterate for ever; an idle engine sleeps."""
        due_s = time.monotonic()
        while True:
            if not self._jobs:
                due_s = await self._rest()
                continue
            if self._faults.frozen:
                await asyncio.sleep(_FROZEN_POLL_S)
                due_s = time.monotonic()
                continue
            result = self.model.step()
            due_s += result.duration_s * self._faults.slowness / self.setup.speed
            late_s = time.monotonic() - due_s
            await asyncio.sleep(max(0.0, -late_s))
            if late_s > _BEHIND_S:
                due_s = time.monotonic()
            self._deliver(result)

    async def _rest(self) -> float:
        self._work.clear()
        try:
            async with asyncio.timeout(_IDLE_CHECK_S):
                await self._work.wait()
        except TimeoutError:
            pass
        return time.monotonic()

    def _deliver(self, result: StepResult) -> None:
        now_s = time.monotonic()
        self.measures.preemptions += len(result.preempted)
        for key in result.started:
            entry = self._jobs.get(key)  # type: ignore[call-overload]  # ids are our own integers
            if entry is not None:
                entry[1].started_s = now_s - result.duration_s
                if key not in result.finished:
                    entry[1].cached_tokens = self.model.cached_tokens(key)
        for key in result.emitted:
            entry = self._jobs.get(key)  # type: ignore[call-overload]
            if entry is None:
                continue  # aborted while the iteration ran
            job, track = entry
            self.measures.token(track, now_s)
            if track.finished:
                del self._jobs[key]  # type: ignore[arg-type]
                self.measures.finished(track, now_s)
            job.ring(finished=track.finished)


def _check_length(input_tokens: int, max_tokens: int | None, longest: int) -> None:
    """vLLM shortens an answer that would not fit, and refuses only what cannot fit at all."""
    if (max_tokens or 0) > longest:
        raise Refusal(
            400,
            f"max_tokens={max_tokens} cannot be greater than max_model_len={longest}. Please request fewer output "
            f"tokens. (parameter=max_tokens, value={max_tokens})",
            param="max_tokens",
        )
    if input_tokens >= longest:
        raise Refusal(
            400,
            f"This model's maximum context length is {longest} tokens. However, your prompt contains at least "
            f"{input_tokens} input tokens, which exceeds this limit even without any output tokens. Please reduce "
            f"the length of the input prompt. (parameter=input_tokens, value={input_tokens})",
            param="input_tokens",
        )
