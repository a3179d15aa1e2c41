"""One tenant's requests and tokens per minute at this gateway: taken in memory, moved between it and the database."""

from __future__ import annotations

import asyncio

from controller.core.rate_limits import Amounts, LimitMove, LimitRow, minute_of
from controller.core.tenants import TenantPolicy
from controller.gateway.ports import Clock
from controller.routing.rate_limit import Allowance

FRESH_S = 0.5  # a row seen exhausted is believed so long: others may give some of it back
AHEAD_S = 2.0  # before a minute begins, what it needs at once is leased
BEAT_S = 0.2
NONE = Amounts()
REQUESTS, TOKENS = "requests", "tokens"


class TenantRates:
    """Touched by the event loop only."""

    __slots__ = ("_beat_s", "_clock", "_seen_s", "kinds", "minute", "requests", "round", "tenant", "tokens", "waiting")

    def __init__(self, tenant: str, policy: TenantPolicy, clock: Clock) -> None:
        now_s = clock.unix_s()
        self._clock = clock
        self.tenant = tenant
        self.minute = minute_of(now_s)
        self.requests: Allowance | None = None
        self.tokens: Allowance | None = None
        self.kinds: tuple[tuple[str, Allowance], ...] = ()
        self.reconfigure(policy)
        self.waiting: list[int] = []  # tokens of each request that waits for a round
        self.round: asyncio.Future[None] | None = None  # ends with the next round
        self._beat_s = now_s
        self._seen_s = 0.0

    def reconfigure(self, policy: TenantPolicy) -> None:
        """The limits from now on; what is leased and used stays so."""
        self.requests = _limited(self.requests, policy.requests_per_min, self.minute)
        self.tokens = _limited(self.tokens, policy.tokens_per_min, self.minute)
        pairs = ((REQUESTS, self.requests), (TOKENS, self.tokens))
        self.kinds = tuple((kind, allowance) for kind, allowance in pairs if allowance is not None)
        self._seen_s = 0.0  # whether anything is left of the minute is to be asked again

    def roll(self) -> float:
        """The time; afterwards the minute is that of now."""
        now_s = self._clock.unix_s()
        minute = minute_of(now_s)
        if minute > self.minute:
            self.minute = minute
            self._seen_s = 0.0
            for _, allowance in self.kinds:
                allowance.roll(minute)
        return now_s

    def take(self, tokens: int) -> bool:
        """One request of so many tokens, out of what is leased: both or neither."""
        requests, allowance = self.requests, self.tokens
        if requests is not None and requests.unspent < 1:
            return False
        if allowance is not None:
            if allowance.unspent < tokens:
                return False
            allowance.take(tokens)
        if requests is not None:
            requests.take(1)
        return True

    @property
    def is_low(self) -> bool:
        """Whether it is time to ask for more."""
        requests, tokens = self.requests, self.tokens
        return (requests is not None and requests.unspent < requests.low) or (
            tokens is not None and tokens.unspent < tokens.low
        )

    def take_blind(self, tokens: int) -> str | None:
        """The same while the rows cannot be reached; else the limit that this gateway knows to be passed."""
        requests, allowance = self.requests, self.tokens
        if requests is not None and not requests.take_blind(1):
            return REQUESTS
        if allowance is not None and not allowance.take_blind(tokens):
            return TOKENS
        return None

    def exhausted(self, tokens: int, now_s: float) -> str | None:
        """The limit that cannot cover it, by what was seen lately; None when that is not known."""
        if now_s - self._seen_s > FRESH_S:
            return None
        if self.requests is not None and self.requests.remaining < 1:
            return REQUESTS
        if self.tokens is not None and self.tokens.remaining < tokens:
            return TOKENS
        return None

    def settle(self, minute: int, estimate_tokens: int, real_tokens: int) -> None:
        """What an answer really took, once that is known."""
        if self.tokens is not None:
            self.tokens.settle(minute, estimate_tokens, real_tokens)

    # rounds
    def moves(self, *, probe: bool) -> list[LimitMove]:
        """What to ask of the rows, or to give back; `probe` asks even when there is nothing to be had."""
        now_s = self.roll()
        elapsed_s = now_s - self._beat_s
        if elapsed_s >= BEAT_S or elapsed_s < 0:
            self._beat_s = now_s
            for _, allowance in self.kinds:
                allowance.beat(max(elapsed_s, BEAT_S))
        found = [self._move(self.minute, self._wishes())]
        if minute_of(now_s + AHEAD_S) > self.minute:
            found.append(self._move(self.minute + 1, [allowance.wish_ahead() for _, allowance in self.kinds]))
        stale = probe or (bool(self.waiting) and now_s - self._seen_s > FRESH_S)
        return [move for move in found if move.wish != NONE or (stale and move.minute == self.minute)]

    def moved(self, move: LimitMove, row: LimitRow) -> None:
        """What became of one."""
        now_s = self.roll()
        if self.requests is not None:
            self.requests.lease(move.minute, row.got.requests, row.granted.requests)
        if self.tokens is not None:
            self.tokens.lease(move.minute, row.got.tokens, row.granted.tokens)
        if move.minute == self.minute:
            self._seen_s = now_s

    @property
    def is_idle(self) -> bool:
        """Nothing is held, owed, waited for or about to be."""
        return not self.waiting and all(
            allowance.unspent == 0 and allowance.pace_per_s == 0 and not allowance.ahead and not allowance.taken
            for _, allowance in self.kinds
        )

    def _wishes(self) -> list[int]:
        wishes = []
        for kind, allowance in self.kinds:
            wish = allowance.wish(len(self.waiting) if kind == REQUESTS else sum(self.waiting))
            if wish < 0:
                allowance.give_back(-wish)
            wishes.append(wish)
        return wishes

    def _move(self, minute: int, wishes: list[int]) -> LimitMove:
        by_kind = {kind: wish for (kind, _), wish in zip(self.kinds, wishes, strict=True)}
        return LimitMove(
            tenant=self.tenant,
            minute=minute,
            wish=Amounts(**by_kind),
            requests_limit=None if self.requests is None else self.requests.limit,
            tokens_limit=None if self.tokens is None else self.tokens.limit,
        )


def _limited(before: Allowance | None, limit: int | None, minute: int) -> Allowance | None:
    """The allowance under this limit; None without one."""
    if limit is None:
        return None
    if before is None:
        return Allowance(limit, minute)
    before.limit = limit
    return before
