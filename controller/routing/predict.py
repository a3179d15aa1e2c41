"""Predicts the time to first token on one replica from what the gateway itself sent there, per request."""

from __future__ import annotations

from math import inf
from typing import Protocol

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.core.records import record

# How many tokens a running answer still has to go, when nothing better is known.
REMAINING_TOKENS = 128.0

PROMPT_TOKENS = 2048  # of a long prompt: attention makes its tokens dearer than those of a short one

# An engine that nobody has measured: an 8B model on one mid-range GPU, to be corrected by what is seen. Its KV cache
# is unknown, so it is taken to hold whatever its slots admit.
NOMINAL = StepTimes(
    alpha_ms=20.0,
    beta_ms_per_seq=0.05,
    gamma_ms_per_1k_context=0.15,
    correction=1.0,
    p0_ms=10.0,
    p1_ms_per_1k=60.0,
    p2_ms_per_1k_sq=2.0,
    kv_cache_tokens=1 << 60,
)


@record
class ReplicaLoad:
    """Work on one replica: requests in flight, prompt tokens not yet computed, answers under way and their context."""

    in_flight: int = 0
    pending_prefill_tokens: int = 0
    decoding: int = 0
    context_tokens: int = 0


class LoadSums(Protocol):
    """The same while it changes."""

    @property
    def in_flight(self) -> int:
        """Requests."""
        ...

    @property
    def pending_prefill_tokens(self) -> int:
        """Of prompts not yet computed."""
        ...

    @property
    def decoding(self) -> int:
        """Answers under way."""
        ...

    @property
    def context_tokens(self) -> int:
        """Theirs."""
        ...


class EngineTiming:
    """The step times of one kind of engine, worked out for quick use: all times in seconds, all lengths in tokens."""

    __slots__ = (
        "_ahead",
        "_alpha",
        "_beta",
        "_budget",
        "_gamma",
        "_kv",
        "_mixed",
        "_p0",
        "_p1",
        "_p2",
        "_prompt",
        "_prompts_most",
        "_slots",
    )

    def __init__(self, steps: StepTimes, engine: EngineArgs) -> None:
        scale = steps.correction / 1000.0
        self._alpha = steps.alpha_ms * scale
        self._beta = steps.beta_ms_per_seq * scale
        self._gamma = steps.gamma_ms_per_1k_context * scale / 1000.0
        self._p0 = steps.p0_ms / 1000.0
        self._p1 = steps.p1_ms_per_1k / 1e6
        self._p2 = steps.p2_ms_per_1k_sq / 1e9
        self._mixed = steps.mixed_gamma_ms_per_1k_context / 1e6
        self._ahead = steps.schedules_ahead
        self._kv = steps.kv_cache_tokens
        self._slots = engine.max_num_seqs
        self._budget = engine.max_num_batched_tokens
        self._prompt = self._p1 + self._p2 * min(self._budget, PROMPT_TOKENS)
        self._prompts_most = self._budget * (self._p1 + self._p2 * self._budget)

    def decode_step_s(self, decoding: int, context_tokens: int) -> float:
        """One token for each of the answers under way."""
        return self._alpha + self._beta * decoding + self._gamma * context_tokens

    def token_s(self, answers: int, context_tokens: int, prompt_ratio: float) -> float:
        """Mean time from token to token, where each token of the others brings `prompt_ratio` tokens of prompts.

        No step computes more of those than its budget holds.
        """
        decode_s = self._alpha + self._beta * answers + self._gamma * context_tokens
        prompts_s = (answers - 1) * prompt_ratio * self._prompt
        if prompts_s >= self._prompts_most:
            return decode_s + self._prompts_most + self._mixed * context_tokens
        if not self._mixed:
            return decode_s + prompts_s
        return decode_s + prompts_s * (1.0 + self._mixed * context_tokens / self._prompts_most)

    def full_step_s(self, decoding: int, context_tokens: int) -> float:
        """The longest step: all answers under way, and as much of prompts as fits."""
        budget = self._budget
        return self.decode_step_s(decoding, context_tokens) + budget * (self._p1 + self._p2 * budget)

    def parts(self, load: LoadSums, input_tokens: int, tokens: int, remaining_tokens: float) -> tuple[float, float]:
        """Until there is room for the prompt; then until the prompts ahead and `tokens` of our own are computed.

        Prompts are computed in chunks, beside the answers under way. A busy engine that schedules ahead takes one step
        more before it sees the prompt. What overlaps, and what attention costs beside prompts, is left out: against
        measured runs it makes this no better (controller/replay/README.md).
        """
        decoding, context, pending = load.decoding, load.context_tokens, load.pending_prefill_tokens
        wait_s = 0.0
        if load.in_flight >= self._slots or context + pending + input_tokens > self._kv:
            wait_s = self._wait_s(load, input_tokens, remaining_tokens)
        todo = pending + tokens
        budget = self._budget
        if decoding:
            decoding = min(decoding, self._slots)
            context = min(context, self._kv)
            step_s = self._alpha + self._beta * decoding + self._gamma * context
            budget -= decoding
        else:
            step_s = self._p0 if todo else 0.0
        ahead_s = step_s if self._ahead and load.in_flight else 0.0
        if todo < budget:
            return wait_s, ahead_s + step_s + todo * (self._p1 + self._p2 * todo)
        budget = max(1, budget)
        full_steps, rest = divmod(todo, budget)
        prefill_s = ahead_s + full_steps * (step_s + budget * (self._p1 + self._p2 * budget))
        if rest or decoding:
            prefill_s += step_s + rest * (self._p1 + self._p2 * rest)
        return wait_s, prefill_s

    def _wait_s(self, load: LoadSums, input_tokens: int, remaining_tokens: float) -> float:
        """Until enough answers have ended to free a slot and the KV cache for the prompt; infinite if it never fits.

        The answers under way, each with `remaining_tokens` to go, end evenly spread over that time.
        """
        if input_tokens > self._kv:
            return inf
        endings = float(load.in_flight + 1 - self._slots)
        decoding, context = max(1, load.decoding), load.context_tokens
        kv_missing = context + load.pending_prefill_tokens + input_tokens - self._kv
        if kv_missing > 0:
            endings = max(endings, kv_missing * decoding / max(1, context))
        return endings * remaining_tokens * self.decode_step_s(decoding, context) / decoding


UNMEASURED = EngineTiming(NOMINAL, EngineArgs())


def predict_ttft_s(load: ReplicaLoad, steps: StepTimes, engine: EngineArgs, *, input_tokens: int) -> float:
    """Seconds until the first token by the step times alone: wait for room, prompts queued ahead, then our own.

    Infinite when the prompt can never fit the KV cache.
    """
    timing = EngineTiming(steps, engine)
    return sum(timing.parts(load, input_tokens, input_tokens, REMAINING_TOKENS))
