"""The engine model in virtual time, jumping over iterations in which nothing but decoding happens.

The same engine as `engine_model`, token for token (a property test holds them together): between two events every
answer under way gains one token a step, so times, contexts and blocks of many steps have closed forms. What is rare
(no room left, a budget smaller than the batch) is left to the step of `EngineModel` itself.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from heapq import heappop, heappush

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.replay.engine_model import EngineModel, EngineSequence


@dataclass(slots=True)
class Woken:
    """What could be seen of an engine at one moment: first tokens and finished answers."""

    at_s: float
    first: list[Hashable]
    finished: list[Hashable]


class FastEngine(EngineModel):
    """One engine driven by events: `due_s` says when something can next be seen, `wake` goes there.

    `clock_s` is the end of the last iteration. Each answer under way ends at a known step, so it is kept by that step
    alone: `(last step, order in the batch, sequence)`; what it has emitted and holds follows from the count of steps.
    """

    def __init__(self, steps: StepTimes, engine: EngineArgs, kv_cache_tokens: int) -> None:
        super().__init__(steps, engine, kv_cache_tokens)
        self.clock_s = 0.0
        self.due_s = math.inf
        self.steps = 0
        self.decoding = 0
        self.context_tokens = 0  # of the answers under way
        scale = steps.correction / 1000.0
        self._alpha_s = steps.alpha_ms * scale
        self._beta_s = steps.beta_ms_per_seq * scale
        self._gamma_s = steps.gamma_ms_per_1k_context * scale / 1000.0
        self._size = engine.block_size_tokens
        self._ends: list[tuple[int, int, EngineSequence]] = []
        self._order = 0
        self._chunk: EngineSequence | None = None  # the prompt under way: the last of the batch
        self._boundaries = [0] * self._size  # answers that need a block at steps of this remainder
        self._jump = 0  # steps that are planned and not yet taken
        self._blocked = False  # the head of the queue waits for an answer to end
        self._odd = False  # the batch is in no state that this class keeps: `EngineModel` steps on
        self._seen = Woken(0.0, [], [])

    def arrive(
        self,
        now_s: float,
        id: Hashable,  # noqa: A002
        input_tokens: int,
        output_tokens: int,
        prefix: tuple[int, ...] = (),
    ) -> None:
        """A request comes; it can start with the first iteration that begins then or later (ahead: with the second)."""
        if self._jump and (self._ahead or not self._is_blocked()):
            self._cut(now_s)
        self.submit(id, input_tokens, output_tokens, prefix)
        if not self._jump:
            self.clock_s = max(self.clock_s, now_s)
            self.due_s = self.clock_s

    def advance(self, until_s: float) -> list[Woken]:
        """All that could be seen by `until_s`, after running every iteration that begins before it."""
        seen = []
        while self.due_s < until_s:
            woken = self.wake()
            if woken.first or woken.finished:
                seen.append(woken)
        if self._jump:
            self._cut(until_s)
        return seen

    def abort(self, id: Hashable) -> bool:  # noqa: A002
        """Drop a request and free its blocks, as of `clock_s`; False when it is not here (any more)."""
        self._jump = 0
        self._expand()
        found = super().abort(id)
        self._collapse()
        self.due_s = self.clock_s
        return found

    def wake(self) -> Woken:
        """Go to `due_s`, and tell what is seen there; then take the next iteration or plan the next jump."""
        if self._jump:
            self._take(self._jump)
        seen = self._seen
        seen.at_s = self.clock_s
        self._seen = Woken(0.0, [], [])
        self._see_idle()
        if not self._running and not self._waiting:
            self.due_s = math.inf
        elif self._odd or self._chunk is not None or (self._waiting and not self._is_blocked()):
            self._step_once()
        else:
            self._plan()
        return seen

    def _is_blocked(self) -> bool:
        """Nobody can join before an answer ends."""
        return self._blocked or len(self._running) >= self._engine.max_num_seqs

    def _plan(self) -> None:
        """Plan to decode until the first answer ends or blocks run short."""
        steps = self._ends[0][0] - self.steps
        room = self._kv.room
        if self.decoding * (steps // self._size + 1) > room:
            steps = min(steps, self._steps_within(room, steps))
        if self._arrived:
            steps = min(steps, 1)
        if not steps:
            self._step_exactly()
            return
        self._jump = steps
        self.due_s = self.clock_s + self._span_s(steps)

    def _steps_within(self, room: int, most: int) -> int:
        """Steps, at most `most`, that the answers under way can take with `room` blocks."""
        rounds = min(room // self.decoding, most // self._size)
        room -= rounds * self.decoding
        steps = rounds * self._size
        while steps < most:
            room -= self._boundaries[(self.steps + steps) % self._size]
            if room < 0:
                break
            steps += 1
        return steps

    def _span_s(self, steps: int) -> float:
        """Seconds that so many decode steps take from here."""
        decoding = self.decoding
        first_s = self._alpha_s + self._beta_s * decoding + self._gamma_s * self.context_tokens
        return steps * first_s + self._gamma_s * decoding * (steps * (steps - 1) // 2)

    def _cut(self, until_s: float) -> None:
        """Take of the planned jump the steps that begin before `until_s`, which is not after `due_s`."""
        wanted_s = max(0.0, until_s - self.clock_s)
        growth_s = self._gamma_s * self.decoding
        first_s = self._alpha_s + self._beta_s * self.decoding + self._gamma_s * self.context_tokens - growth_s / 2
        guess = 2.0 * wanted_s / (first_s + math.sqrt(first_s * first_s + 2.0 * growth_s * wanted_s))
        steps = max(0, int(guess) - 1)
        while steps < self._jump and self._span_s(steps) < wanted_s:
            steps += 1
        self._take(steps)
        self.due_s = self.clock_s

    def _take(self, steps: int) -> None:
        """Decode so many steps of the planned jump; what ends with the last of them is seen at the next wake."""
        self._jump = 0
        if steps:
            self._see_arrived()
        self.clock_s += self._span_s(steps)
        rounds, rest = divmod(steps, self._size)
        blocks = rounds * self.decoding
        for step in range(self.steps, self.steps + rest):
            blocks += self._boundaries[step % self._size]
        self._kv.take_private(blocks)
        self.steps += steps
        self.context_tokens += steps * self.decoding
        self._end_due()

    def _end_due(self) -> None:
        """Let the answers go whose last token has come."""
        ends = self._ends
        while ends and ends[0][0] == self.steps:
            sequence = heappop(ends)[2]
            computed = sequence.input_tokens + sequence.output_tokens - 1
            self.decoding -= 1
            self.context_tokens -= computed
            self._boundaries[(self.steps - computed) % self._size] -= 1
            sequence.private_blocks = -(-computed // self._size) - sequence.held
            self._drop(sequence)
            self._seen.finished.append(sequence.id)

    def _drop(self, sequence: EngineSequence) -> None:
        self._running.remove(sequence)
        self._free(sequence)
        del self._sequences[sequence.id]
        self._blocked = False

    def _step_once(self) -> None:
        """One iteration with prompts in it."""
        budget = whole = self._engine.max_num_batched_tokens - self.decoding
        blocks = self._boundaries[self.steps % self._size]
        if self._odd or budget <= 0 or blocks > self._kv.room:
            self._step_exactly()
            return
        scheduled: list[tuple[EngineSequence, int]] = []
        chunk = self._chunk
        if chunk is not None:
            tokens = min(chunk.missing, budget)
            needed = -(-(chunk.computed + tokens) // self._size) - chunk.held - chunk.private_blocks
            if blocks + needed > self._kv.room:
                self._step_exactly()
                return
        self._kv.take_private(blocks)
        if chunk is not None:
            self._grow(chunk, tokens)
            scheduled.append((chunk, tokens))
            budget -= tokens
        for _ in self._admit(budget, scheduled):
            pass
        left = whole - sum(tokens for _, tokens in scheduled)
        self._blocked = bool(self._waiting) and self._is_stuck(left, scheduled)
        self._see_arrived()
        self._book(scheduled)

    def _is_stuck(self, left: int, scheduled: list[tuple[EngineSequence, int]]) -> bool:
        """The head of the queue did not fit with `left` tokens of the budget, and will not before an answer ends. It
        may where prompts beside it publish what it can share, or, if it was cut, once what it found cached is evicted.
        """
        head = self._waiting[0]
        if left <= 0 or (head.prefix and any(sequence.prefix for sequence, _ in scheduled)):
            return False
        return head.missing <= left or not self._kv.cached_prefix(head.prefix, 1)

    def _book(self, scheduled: list[tuple[EngineSequence, int]]) -> None:
        """The iteration is over: prompts are computed further, every answer under way has one token more."""
        prefill = squares = 0
        decoding, context = self.decoding, self.context_tokens
        self.steps += 1
        self.context_tokens += decoding
        self._chunk = None
        done = []
        for sequence, tokens in scheduled:
            prefill += tokens
            squares += tokens * (2 * sequence.computed + tokens)
            sequence.computed += tokens
            if sequence.prefix:
                self._publish(sequence)
            if not sequence.missing:
                if not sequence.emitted:
                    self._seen.first.append(sequence.id)
                sequence.emitted += 1
                if sequence.emitted == sequence.output_tokens:
                    done.append(sequence)
                    continue
            if sequence.decodes:
                self._join(sequence)
            else:
                self._chunk = sequence
        self.clock_s += self._steps.step_s(decoding, context, prefill, squares)
        self.due_s = self.clock_s
        self._end_due()
        for sequence in done:
            self._drop(sequence)
            self._seen.finished.append(sequence.id)

    def _join(self, sequence: EngineSequence) -> None:
        """One more answer is under way."""
        self._order += 1
        heappush(self._ends, (self.steps + sequence.output_tokens - sequence.emitted, self._order, sequence))
        self.decoding += 1
        self.context_tokens += sequence.computed
        self._boundaries[(self.steps - sequence.computed) % self._size] += 1

    def _step_exactly(self) -> None:
        """One iteration as `EngineModel` runs it."""
        self._expand()
        result = self.step()
        self.steps += 1
        self.clock_s += result.duration_s
        self.due_s = self.clock_s
        self._seen.first.extend(result.first)
        self._seen.finished.extend(result.finished)
        self._collapse()

    def _expand(self) -> None:
        """Write into each answer under way what its last step says of it."""
        for end, _, sequence in self._ends:
            sequence.emitted = sequence.output_tokens - (end - self.steps)
            sequence.computed = sequence.input_tokens + sequence.emitted - 1
            sequence.private_blocks = -(-sequence.computed // self._size) - sequence.held

    def _collapse(self) -> None:
        """Read the batch again: answers under way, and the one prompt that may be behind them."""
        self._ends = []
        self._boundaries = [0] * self._size
        self._chunk = None
        self._odd = self._blocked = False
        self.decoding = self.context_tokens = 0
        for sequence in self._running:
            self._odd = self._odd or self._chunk is not None
            if sequence.decodes:
                self._join(sequence)
            else:
                self._chunk = sequence
