"""A pure model of one continuous-batching engine (vLLM's V1 scheduler): who runs, what each iteration costs.

The simulated engine process drives it in real time, replays drive it in virtual time. One `step` is one iteration:
running sequences first, then waiting ones in order of arrival, under a token budget, a sequence cap and KV blocks;
prompts are prefilled in chunks; when blocks run out the youngest sequence is preempted and recomputed later.
An engine that schedules ahead (vLLM on GPUs does since it schedules asynchronously) fixes each iteration when the one
before begins: whoever comes meanwhile waits for the end of both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.replay.kv_blocks import KvBlocks


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One iteration. Each id in `emitted` got exactly one token; `first` and `finished` are part of it: first and last
    tokens; `started` left the queue.
    """

    duration_s: float
    emitted: tuple[Hashable, ...]
    first: tuple[Hashable, ...]
    finished: tuple[Hashable, ...]
    started: tuple[Hashable, ...]
    preempted: tuple[Hashable, ...]
    prefill_tokens: int
    decodes: int


@dataclass(slots=True, kw_only=True, eq=False)
class EngineSequence:
    """One request inside the engine, for `fast_engine` too. `computed`: tokens whose KV is in the cache."""

    id: Hashable
    input_tokens: int
    output_tokens: int
    prefix: tuple[int, ...]
    emitted: int = 0
    computed: int = 0
    private_blocks: int = 0
    held: int = 0  # leading blocks of `prefix` held in the cache
    cached_tokens: int = 0  # of the first admission
    started: bool = False

    @property
    def missing(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return self.input_tokens + self.emitted - self.computed

    @property
    def decodes(self) -> bool:
        """All but its newest token is in the cache: the next step gives one more."""
        return self.emitted > 0 and self.missing == 1


class EngineModel:
    """The engine. Ids are the caller's; `kv_cache_tokens` must hold at least one sequence of the greatest length."""

    def __init__(self, steps: StepTimes, engine: EngineArgs, kv_cache_tokens: int) -> None:
        capacity = kv_cache_tokens // engine.block_size_tokens
        if capacity * engine.block_size_tokens < engine.max_model_len_tokens:
            raise ValueError(
                f"max_model_len {engine.max_model_len_tokens} tokens is larger than the KV cache holds: "
                f"{kv_cache_tokens} tokens; allowed: at most {capacity * engine.block_size_tokens}"
            )
        self._steps = steps
        self._engine = engine
        self._kv = KvBlocks(capacity)
        self._sequences: dict[Hashable, EngineSequence] = {}
        self._running: list[EngineSequence] = []
        self._waiting: deque[EngineSequence] = deque()
        self._ahead = steps.schedules_ahead
        self._arrived: deque[EngineSequence] = deque()  # since the next iteration was fixed, if ahead
        self.preemptions = 0
        self.prefix_queried_tokens = 0
        self.prefix_hit_tokens = 0

    @property
    def running(self) -> int:
        """Sequences in the batch."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Sequences in the queue."""
        return len(self._waiting) + len(self._arrived)

    @property
    def kv_used_ratio(self) -> float:
        """KV cache use, 0..1."""
        return self._kv.used_ratio

    def submit(self, id: Hashable, input_tokens: int, output_tokens: int, prefix: tuple[int, ...] = ()) -> None:  # noqa: A002
        """Queue a request; `prefix` has one content hash per full prompt block, each covering all before it."""
        if id in self._sequences:
            raise ValueError(f"sequence {id!r} is in the engine already")
        total = input_tokens + output_tokens
        if input_tokens < 1 or output_tokens < 1 or total > self._engine.max_model_len_tokens:
            raise ValueError(
                f"{input_tokens} input + {output_tokens} output tokens; allowed: at least 1 each, "
                f"together at most {self._engine.max_model_len_tokens}"
            )
        full_blocks = input_tokens // self._engine.block_size_tokens
        sequence = EngineSequence(
            id=id, input_tokens=input_tokens, output_tokens=output_tokens, prefix=prefix[:full_blocks]
        )
        self._sequences[id] = sequence
        (self._arrived if self._ahead and self._running else self._waiting).append(sequence)

    def abort(self, id: Hashable) -> bool:  # noqa: A002
        """Drop a request and free its blocks; False when it is not here (any more)."""
        sequence = self._sequences.pop(id, None)
        if sequence is None:
            return False
        if sequence in self._running:
            self._running.remove(sequence)
            self._free(sequence)
        else:
            (self._arrived if sequence in self._arrived else self._waiting).remove(sequence)
        return True

    def cached_tokens(self, id: Hashable) -> int:  # noqa: A002
        """Prompt tokens found in the prefix cache when the request was first admitted."""
        return self._sequences[id].cached_tokens

    def step(self) -> StepResult:
        """Run one iteration; an empty engine takes no time."""
        self._see_idle()
        budget = self._engine.max_num_batched_tokens
        scheduled: list[tuple[EngineSequence, int]] = []
        preempted: list[Hashable] = []
        index = 0
        while index < len(self._running) and budget:  # victims go from the tail, so the index stays true
            sequence = self._running[index]
            tokens = min(sequence.missing, budget)
            victims, fits = self._make_room(sequence, tokens)
            preempted.extend(victims)
            if fits:
                scheduled.append((sequence, tokens))
                budget -= tokens
                index += 1
        started = [] if preempted else list(self._admit(budget, scheduled))
        self._see_arrived()
        return self._complete(scheduled, started, preempted)

    def _see_arrived(self) -> None:
        """An iteration is fixed; who came before it may join the next one."""
        self._waiting.extend(self._arrived)
        self._arrived.clear()

    def _see_idle(self) -> None:
        """With nothing to run no iteration is fixed beforehand."""
        if self._arrived and not self._running and not self._waiting:
            self._see_arrived()

    def _make_room(self, sequence: EngineSequence, tokens: int) -> tuple[list[Hashable], bool]:
        """Blocks for `tokens` more, preempting the youngest as needed; False when the sequence itself had to go."""
        victims: list[Hashable] = []
        while not self._grow(sequence, tokens):
            victim = self._running.pop()
            self._free(victim)
            self._waiting.appendleft(victim)
            self.preemptions += 1
            victims.append(victim.id)
            if victim is sequence:
                return victims, False
        return victims, True

    def _admit(self, budget: int, scheduled: list[tuple[EngineSequence, int]]) -> Iterator[Hashable]:
        """Move waiting sequences into the batch, in order, while budget, slots and blocks last."""
        size = self._engine.block_size_tokens
        while self._waiting and budget and len(self._running) < self._engine.max_num_seqs:
            sequence = self._waiting[0]
            hits = self._kv.cached_prefix(sequence.prefix, (sequence.input_tokens - 1) // size)
            self._kv.hold(sequence.prefix[:hits])
            sequence.held, sequence.computed = hits, hits * size
            tokens = min(sequence.missing, budget)
            if not self._grow(sequence, tokens):
                self._free(sequence)
                return
            self._running.append(self._waiting.popleft())
            scheduled.append((sequence, tokens))
            budget -= tokens
            self.prefix_queried_tokens += sequence.input_tokens
            self.prefix_hit_tokens += hits * size
            if not sequence.started:
                sequence.started = True
                sequence.cached_tokens = hits * size
                yield sequence.id

    def _complete(
        self, scheduled: list[tuple[EngineSequence, int]], started: list[Hashable], preempted: list[Hashable]
    ) -> StepResult:
        """Book the iteration: computed tokens, published prompt blocks, sampled tokens, finished sequences."""
        decodes = context = prefill = squares = 0
        emitted, first, finished = [], [], []
        for sequence, tokens in scheduled:
            if sequence.decodes:
                decodes += 1
                context += sequence.computed
                sequence.computed += 1
            else:
                prefill += tokens
                squares += tokens * (2 * sequence.computed + tokens)
                sequence.computed += tokens
                self._publish(sequence)
            if sequence.missing:
                continue
            if not sequence.emitted:
                first.append(sequence.id)
            sequence.emitted += 1
            emitted.append(sequence.id)
            if sequence.emitted == sequence.output_tokens:
                finished.append(sequence.id)
                self._running.remove(sequence)
                self._free(sequence)
                del self._sequences[sequence.id]
        return StepResult(
            duration_s=self._steps.step_s(decodes, context, prefill, squares),
            emitted=tuple(emitted),
            first=tuple(first),
            finished=tuple(finished),
            started=tuple(started),
            preempted=tuple(preempted),
            prefill_tokens=prefill,
            decodes=decodes,
        )

    def _grow(self, sequence: EngineSequence, tokens: int) -> bool:
        """Give the sequence the blocks its next tokens need; False and no change when there is no room."""
        size = self._engine.block_size_tokens
        needed = -(-(sequence.computed + tokens) // size) - sequence.held - sequence.private_blocks
        if needed > 0:
            if not self._kv.take_private(needed):
                return False
            sequence.private_blocks += needed
        return True

    def _publish(self, sequence: EngineSequence) -> None:
        """Make freshly computed full prompt blocks findable, in order, until one is cached by somebody else."""
        full = min(len(sequence.prefix), sequence.computed // self._engine.block_size_tokens)
        while sequence.held < full and self._kv.publish(sequence.prefix[sequence.held]):
            sequence.held += 1
            sequence.private_blocks -= 1

    def _free(self, sequence: EngineSequence) -> None:
        """Take everything back; the sequence starts over if it runs again."""
        self._kv.drop_private(sequence.private_blocks)
        self._kv.release(reversed(sequence.prefix[: sequence.held]))
        sequence.private_blocks = sequence.held = sequence.computed = 0
