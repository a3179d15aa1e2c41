"""What this gateway has under way on each replica and has learned of it, kept without a look at any engine.

A unary answer says nothing before it is whole, so its prompt counts as computed once the predicted time has passed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from math import inf
from typing import Protocol

from controller.core.errors import UpstreamTimeout
from controller.gateway.gpu_time import ReplicaTime
from controller.gateway.others import Others
from controller.routing.balance import Candidate
from controller.routing.ejection import Standing
from controller.routing.fit import AnswerLengths, EngineFit
from controller.routing.predict import UNMEASURED, EngineTiming, ReplicaLoad
from controller.routing.warmth import WarmPrefixes

_IDLE = ReplicaLoad()
_LEARNT_TOKENS = 2  # an answer of fewer says nothing about the pace of writing


class Waiter(Protocol):
    """Ends the wait of one request: `guard.Guard`."""

    @property
    def progressed_s(self) -> float:
        """When something last arrived for it."""
        ...

    def expire(self, why: UpstreamTimeout) -> None:
        """Time is up."""
        ...


class Relay(Protocol):
    """Hands an answer on: `relay.StreamRelay`."""

    @property
    def sending(self) -> bool:
        """Whether it waits for the caller to take what there is."""
        ...


class Ticket:
    """One request on one replica; give it back with `end()` exactly once."""

    __slots__ = (
        "_context_tokens",
        "_decoding",
        "_load",
        "bound_s",
        "can_leave",
        "computed",
        "due_s",
        "ended",
        "first_token_s",
        "input_tokens",
        "prefill_s",
        "prefixes",
        "relay",
        "slow_caller",
        "started_s",
        "tokens",
        "wait_s",
        "waiter",
    )

    def __init__(self, load: LiveLoad, input_tokens: int, due_s: float) -> None:
        self._load = load
        self.input_tokens = self.tokens = input_tokens
        self.due_s = due_s
        self.computed = self.ended = self.can_leave = False
        self.wait_s = self.prefill_s = self.started_s = 0.0
        self.bound_s = inf
        self.first_token_s: float | None = None
        self.relay: Relay | None = None
        self.slow_caller = False
        self.waiter: Waiter | None = None
        self.prefixes: Sequence[tuple[int, int]] = ()
        self._decoding = self._context_tokens = 0

    def watched(
        self,
        found: Candidate,
        started_s: float,
        bound_s: float,
        prefixes: Sequence[tuple[int, int]],
        *,
        can_leave: bool,
    ) -> None:
        """What was predicted, how long silence may last, and whether it has anywhere else to go."""
        self.wait_s, self.prefill_s, self.started_s = found.wait_s, found.prefill_s, started_s
        self.bound_s, self.prefixes, self.can_leave = bound_s, prefixes, can_leave
        self._decoding, self._context_tokens = self._load.decoding + 1, self._load.context_tokens + self.input_tokens

    def counts_as_computed(self) -> None:
        """Its prompt is computed: from now on it is an answer under way."""
        if not self.computed and not self.ended:
            self.computed = True
            load = self._load
            load.pending_prefill_tokens -= self.tokens
            load.decoding += 1
            load.context_tokens += self.input_tokens
            self._decoding, self._context_tokens = load.decoding, load.context_tokens

    def first_token(self, now_s: float, relay: Relay | None = None) -> None:
        """The first token is here."""
        self.counts_as_computed()
        load = self._load
        self.first_token_s, self.relay = now_s, relay
        load.fit.saw_ttft(self.wait_s, self.prefill_s, now_s - self.started_s, now_s)
        load.came(self, now_s)

    def whole(self, now_s: float, output_tokens: int) -> None:
        """All of it has come; `output_tokens` of one choice, 0 when unknown."""
        load = self._load
        load.standing.succeeded()
        if output_tokens > 0:
            load.lengths.saw(output_tokens, self.tokens)
        decode_s = 0.0
        if output_tokens >= _LEARNT_TOKENS:
            decoding = (self._decoding + load.decoding) // 2
            context = (self._context_tokens + load.context_tokens) // 2
            # At least one, itself: its prompt may count as computed only now.
            token_s = load.timing.token_s(max(1, decoding), context, load.lengths.prompt_ratio)
            decode_s = (output_tokens - 1) * token_s
        if self.first_token_s is None:
            load.fit.saw_whole(self.wait_s, self.prefill_s, decode_s, now_s - self.started_s, now_s)
            load.came(self, now_s)
        else:
            load.moved_s = now_s
            if decode_s and not self.slow_caller:
                load.fit.decode.observe(decode_s, now_s - self.first_token_s, now_s)

    def end(self) -> None:
        """It has left the replica."""
        if self.ended:
            return
        self.ended = True
        load = self._load
        load.in_flight -= 1
        load.tickets.discard(self)
        if self.computed:
            load.decoding -= 1
            load.context_tokens -= self.input_tokens
        else:
            load.pending_prefill_tokens -= self.tokens


class LiveLoad:
    """One replica: running sums, corrections of its step times, what it has in its prefix cache, how it behaves."""

    __slots__ = (
        "context_tokens",
        "decoding",
        "excused_s",
        "fit",
        "in_flight",
        "lengths",
        "moved_s",
        "others",
        "pending_prefill_tokens",
        "pool",
        "seed",
        "standing",
        "started_at_s",
        "tickets",
        "time",
        "timing",
        "unary",
        "warm",
    )

    def __init__(self, seed: int = 0) -> None:
        self.in_flight = 0
        self.pending_prefill_tokens = 0
        self.decoding = 0
        self.context_tokens = 0
        self.tickets: set[Ticket] = set()
        self.time = ReplicaTime()
        self.unary: deque[Ticket] = deque()
        self.seed = seed
        self.pool = ""
        self.started_at_s: float | None = None
        self.moved_s = -inf  # when it last gave a sign of life, or got work after having none
        self.excused_s = -inf  # silence up to then is not its fault
        self.standing = Standing()
        self.fit = EngineFit()
        self.warm = WarmPrefixes(0)
        self.lengths = AnswerLengths()
        self.timing = UNMEASURED
        self.others = Others()

    def start(self, input_tokens: int, due_s: float, *, stream: bool, tokens: int | None = None) -> Ticket:
        """One more request, `tokens` of its prompt not warm; `due_s` is when its first token is predicted."""
        ticket = Ticket(self, input_tokens, due_s)
        if tokens is not None:
            ticket.tokens = tokens
        self.in_flight += 1
        self.pending_prefill_tokens += ticket.tokens
        self.tickets.add(ticket)
        if not stream:
            self.unary.append(ticket)
        return ticket

    def settle(self, now_s: float) -> None:
        """Prompts of unary requests count as computed when they are due."""
        unary = self.unary
        while unary and (unary[0].ended or unary[0].due_s <= now_s):
            unary.popleft().counts_as_computed()

    def at(self, now_s: float) -> ReplicaLoad:
        """The sums now."""
        self.settle(now_s)
        if not self.in_flight:
            return _IDLE
        return ReplicaLoad(
            in_flight=self.in_flight,
            pending_prefill_tokens=self.pending_prefill_tokens,
            decoding=self.decoding,
            context_tokens=self.context_tokens,
        )

    def next_token_s(self, input_tokens: int) -> float:
        """The time from token to token with one more request here; prompts under way are answers soon."""
        context = self.context_tokens + self.pending_prefill_tokens + input_tokens
        return self.timing.token_s(self.in_flight + 1, context, self.lengths.prompt_ratio) * self.fit.decode.factor

    def came(self, ticket: Ticket, now_s: float) -> None:
        """Something has come for this request: the replica lives, and has its prompt in the cache."""
        self.moved_s = now_s
        self.standing.lives(ticket.started_s, now_s)
        self.warm.note(ticket.prefixes)

    def renew(self, started_at_s: float, timing: EngineTiming, room_tokens: int, *, measured: bool) -> None:
        """A new engine under this id: nothing of the old one holds."""
        self.started_at_s = started_at_s
        self.timing = timing
        self.fit = EngineFit(measured=measured)
        self.warm = WarmPrefixes(room_tokens)


class Loads:
    """All replicas, by id."""

    __slots__ = ("_by_replica",)

    def __init__(self) -> None:
        self._by_replica: dict[str, LiveLoad] = {}

    def of(self, replica_id: str) -> LiveLoad:
        """One replica; made on first use."""
        found = self._by_replica.get(replica_id)
        if found is None:
            seed = int.from_bytes(blake2b(replica_id.encode(), digest_size=8).digest())
            found = self._by_replica[replica_id] = LiveLoad(seed)
        return found

    def all(self) -> Iterable[tuple[str, LiveLoad]]:
        """Every replica with its id."""
        return self._by_replica.items()

    def in_flight(self) -> dict[str, int]:
        """Requests at each replica now."""
        return {replica_id: load.in_flight for replica_id, load in self._by_replica.items()}

    def ejected(self) -> dict[str, str]:
        """Replicas that are out of rotation, and why."""
        return {
            replica_id: load.standing.reason.value
            for replica_id, load in self._by_replica.items()
            if load.standing.reason is not None
        }

    def slowness(self) -> dict[str, tuple[float, float]]:
        """How far each replica is off its step times, in computing prompts and in writing."""
        return {
            replica_id: (load.fit.prefill.factor, load.fit.decode.factor)
            for replica_id, load in self._by_replica.items()
        }

    def keep_only(self, replica_ids: Iterable[str]) -> None:
        """Forget idle replicas that are not in the fleet any more."""
        known = set(replica_ids)
        gone = [name for name, load in self._by_replica.items() if name not in known and not load.in_flight]
        for name in gone:
            del self._by_replica[name]
