"""What this gateway has under way on each replica: the input of the prediction, kept without a look at any engine.

A unary answer says nothing before it is whole, so its prompt counts as computed once the predicted time has passed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from controller.routing.predict import ReplicaLoad

_IDLE = ReplicaLoad()


class Ticket:
    """One request on one replica; give it back with `end()` exactly once."""

    __slots__ = ("_load", "computed", "due_s", "ended", "input_tokens")

    def __init__(self, load: LiveLoad, input_tokens: int, due_s: float) -> None:
        self._load = load
        self.input_tokens = input_tokens
        self.due_s = due_s
        self.computed = False
        self.ended = False

    def first_token(self) -> None:
        """Its prompt is computed: from now on it is an answer under way."""
        if not self.computed and not self.ended:
            self.computed = True
            load = self._load
            load.pending_prefill_tokens -= self.input_tokens
            load.decoding += 1
            load.context_tokens += self.input_tokens

    def end(self) -> None:
        """It has left the replica."""
        if self.ended:
            return
        self.ended = True
        load = self._load
        load.in_flight -= 1
        if self.computed:
            load.decoding -= 1
            load.context_tokens -= self.input_tokens
        else:
            load.pending_prefill_tokens -= self.input_tokens


class LiveLoad:
    """The running sums of one replica."""

    __slots__ = ("_unary", "context_tokens", "decoding", "in_flight", "pending_prefill_tokens")

    def __init__(self) -> None:
        self.in_flight = 0
        self.pending_prefill_tokens = 0
        self.decoding = 0
        self.context_tokens = 0
        self._unary: deque[Ticket] = deque()

    def start(self, input_tokens: int, due_s: float, *, stream: bool) -> Ticket:
        """One more request; `due_s` is when its first token is predicted."""
        ticket = Ticket(self, input_tokens, due_s)
        self.in_flight += 1
        self.pending_prefill_tokens += input_tokens
        if not stream:
            self._unary.append(ticket)
        return ticket

    def at(self, now_s: float) -> ReplicaLoad:
        """The sums now."""
        unary = self._unary
        while unary and (unary[0].ended or unary[0].due_s <= now_s):
            unary.popleft().first_token()
        if not self.in_flight:
            return _IDLE
        return ReplicaLoad(
            in_flight=self.in_flight,
            pending_prefill_tokens=self.pending_prefill_tokens,
            decoding=self.decoding,
            context_tokens=self.context_tokens,
        )


class Loads:
    """All replicas, by id."""

    __slots__ = ("_by_replica",)

    def __init__(self) -> None:
        self._by_replica: dict[str, LiveLoad] = {}

    def of(self, replica_id: str) -> LiveLoad:
        """The sums of one replica; made on first use."""
        found = self._by_replica.get(replica_id)
        if found is None:
            found = self._by_replica[replica_id] = LiveLoad()
        return found

    def in_flight(self) -> dict[str, int]:
        """Requests at each replica now."""
        return {replica_id: load.in_flight for replica_id, load in self._by_replica.items()}

    def keep_only(self, replica_ids: Iterable[str]) -> None:
        """Forget idle replicas that are not in the fleet any more."""
        known = set(replica_ids)
        gone = [name for name, load in self._by_replica.items() if name not in known and not load.in_flight]
        for name in gone:
            del self._by_replica[name]
