"""The replicas of a pool in a request-level simulation: ordered, starting, ready, draining, gone; who is least busy.

Called by `fleet_simulation`. Every replica is an engine model of its own. The least busy is the one with the least
predicted TTFT for a prompt of mean length, by the same arithmetic as the gateway's (`routing/predict.py`); it is worked
out when a replica's load changes, so that a choice among twenty is one look at twenty numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.replay.fast_engine import FastEngine, Woken
from controller.routing.predict import EngineTiming, ReplicaLoad

_IDLE = ReplicaLoad()
_LEARN_RATIO = 0.05  # of what a request shows
_FACTOR_MAX = 8.0


class SimulatedReplica:
    """One engine, the gateway's view of its load, and since when it costs money."""

    __slots__ = ("context_tokens", "decoding", "draining", "engine", "in_flight", "ordered_s", "pending_prefill_tokens")

    def __init__(self, engine: FastEngine, ordered_s: float) -> None:
        self.engine = engine
        self.ordered_s = ordered_s
        self.draining = False
        self.in_flight = 0
        self.pending_prefill_tokens = 0
        self.decoding = 0
        self.context_tokens = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TypicalRequest:
    """Of the run's requests: what predictions take for granted."""

    input_tokens: int
    output_tokens: int


class SimulatedFleet:
    """All replicas. `ready` ones take requests; the lists of due times and of predicted waits run beside `live`."""

    def __init__(
        self, steps: StepTimes, engine: EngineArgs, typical: TypicalRequest, usd_per_s: float, replicas: int
    ) -> None:
        self._steps = steps
        self._engine = engine
        self._timing = EngineTiming(steps, engine)
        self._typical = typical
        self._remaining_tokens = typical.output_tokens / 2
        self._wait_factor = 1.0
        self._prompt_ratio = typical.input_tokens / typical.output_tokens
        self._usd_per_s = usd_per_s
        self.usd = 0.0  # of replicas that are gone
        self.live: list[SimulatedReplica] = []
        self.due_s: list[float] = []
        self.load_s: list[float] = []
        self.starting: list[tuple[float, float]] = []  # when ready, when ordered
        for _ in range(replicas):
            self._open(0.0)

    @property
    def ready(self) -> int:
        """Replicas that take requests."""
        return sum(not replica.draining for replica in self.live)

    @property
    def next_ready_s(self) -> float:
        """When the next one has started."""
        return min((ready_s for ready_s, _ in self.starting), default=math.inf)

    def want(self, replicas: int, now_s: float, cold_start_s: Callable[[], float]) -> None:
        """Order, cancel or drain until ready and starting together are so many; the youngest and idlest go first."""
        more = replicas - self.ready - len(self.starting)
        for _ in range(more):
            self.starting.append((now_s + cold_start_s(), now_s))
        for _ in range(-more):
            if self.starting:
                youngest = max(self.starting)
                self.starting.remove(youngest)
                self.usd += (now_s - youngest[1]) * self._usd_per_s
            else:
                candidates = [index for index, replica in enumerate(self.live) if not replica.draining]
                index = min(candidates, key=lambda index: self.live[index].in_flight)
                self.live[index].draining = True
                self.load_s[index] = math.inf
                self._close_if_empty(index, now_s)

    def start_due(self, now_s: float) -> None:
        """Those whose cold start is over are ready."""
        for entry in [entry for entry in self.starting if entry[0] <= now_s]:
            self.starting.remove(entry)
            self._open(entry[1])

    def least_busy(self) -> int | None:
        """The replica that would answer first; None when none is ready."""
        if not self.load_s:
            return None
        least = min(self.load_s)
        if least < math.inf:
            return self.load_s.index(least)
        return next((index for index, replica in enumerate(self.live) if not replica.draining), None)

    def predicted_s(self, index: int, input_tokens: int) -> tuple[float, float, float]:
        """Of a request there: wait for room by arithmetic, TTFT with the wait as waits were of late, TPOT."""
        replica = self.live[index]
        wait_s, prefill_s = self._timing.parts(replica, input_tokens, input_tokens, self._remaining_tokens)
        answers = replica.in_flight + 1  # prompts under way are answers soon
        context_tokens = replica.context_tokens + replica.pending_prefill_tokens + input_tokens
        tpot_s = self._timing.token_s(answers, context_tokens, self._prompt_ratio)
        return wait_s, wait_s * self._wait_factor + prefill_s, tpot_s

    def learn(self, wait_s: float, input_tokens: int, ttft_s: float) -> None:
        """A request for which a wait was predicted has its first token: how far off such predictions are."""
        real = max(0.0, ttft_s - self._timing.parts(_IDLE, input_tokens, input_tokens, 0.0)[1]) / wait_s
        self._wait_factor += _LEARN_RATIO * (min(_FACTOR_MAX, real) - self._wait_factor)

    def send(self, index: int, now_s: float, name: int, tokens: tuple[int, int], prefix: tuple[int, ...] = ()) -> None:
        """Give a request to a replica."""
        replica = self.live[index]
        replica.engine.arrive(now_s, name, tokens[0], tokens[1], prefix)
        replica.in_flight += 1
        replica.pending_prefill_tokens += tokens[0]
        self._refresh(index)

    def wake(self, index: int, input_tokens: list[int]) -> Woken:
        """Let the engine that is due go on; `input_tokens` are those of all requests by name."""
        replica = self.live[index]
        woken = replica.engine.wake()
        for name in woken.first:
            replica.pending_prefill_tokens -= input_tokens[name]  # type: ignore[call-overload]  # our own integers
        replica.in_flight -= len(woken.finished)
        self._refresh(index)
        if replica.draining:
            self.load_s[index] = math.inf
            self._close_if_empty(index, woken.at_s)
        return woken

    def look(self, now_s: float) -> None:
        """Bring every engine to this moment; nothing ends by that, as what has ended was woken for."""
        for index, replica in enumerate(self.live):
            replica.engine.advance(now_s)
            self.due_s[index] = replica.engine.due_s

    def paid_until(self, now_s: float) -> float:
        """What all replicas have cost by then."""
        living = [replica.ordered_s for replica in self.live] + [ordered_s for _, ordered_s in self.starting]
        return self.usd + self._usd_per_s * sum(max(0.0, now_s - ordered_s) for ordered_s in living)

    def _refresh(self, index: int) -> None:
        replica = self.live[index]
        engine = replica.engine
        replica.decoding = engine.decoding
        replica.context_tokens = engine.context_tokens
        self.due_s[index] = engine.due_s
        wait_s, prefill_s = self._timing.parts(
            replica, self._typical.input_tokens, self._typical.input_tokens, self._remaining_tokens
        )
        self.load_s[index] = wait_s + prefill_s

    def _open(self, ordered_s: float) -> None:
        self.live.append(
            SimulatedReplica(FastEngine(self._steps, self._engine, self._steps.kv_cache_tokens), ordered_s)
        )
        self.due_s.append(math.inf)
        self.load_s.append(0.0)
        self._refresh(len(self.live) - 1)

    def _close_if_empty(self, index: int, now_s: float) -> None:
        if not self.live[index].in_flight:
            self.usd += (now_s - self.live[index].ordered_s) * self._usd_per_s
            del self.live[index], self.due_s[index], self.load_s[index]
