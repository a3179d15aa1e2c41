"""Which pools get the GPUs that they share, where together they want more than there are.

Called once per tick for each group of nodes, after every pool has said what it would have if it were alone (`decide`).
A GPU is worth what a replica on it saves against buying its work; the split that saves most is the best one. GPUs that
are free go at once to whom they are worth most. To take one from a pool costs a cold start, in which nobody serves on
it, so the split changes only once the best one would have saved as much more as the move costs: for two pools that rise
and fall in turn that is rent-or-buy again, and they do not swap at every turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, gcd, isfinite

from controller.autoscale.prices import Prices

TICK_MAX_S = 30.0  # of a longer gap between two ticks no more is known than this
LEAST_MEMORY_S = 60.0  # over which use is averaged, or over a cold start where that is longer
FORBIDDEN_RATIO = 100.0  # work that nobody may be asked for is worth so many times the replica that does it
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one pool of the group is and wants. `gpus`: of one replica.

    `wish`: replicas that pay if it were alone. `have`: ready or warming ones that stay. `held`: all that have GPUs now,
    with those that drain. `least`: stay whatever they cost. `demand_replicas` None: blind, so it keeps what it has.
    """

    name: str
    gpus: int
    wish: int
    have: int
    held: int
    least: int
    demand_replicas: float | None
    prices: Prices | None
    cold_start_s: float
    cooldown_s: float = 0.0

    @property
    def is_blind(self) -> bool:
        """Whether nothing is known of its demand, so that nothing is taken from it."""
        return self.demand_replicas is None

    @property
    def worth_usd_per_s(self) -> float:
        """What a replica that is used all the time saves."""
        if self.prices is None:
            return FORBIDDEN_RATIO * self.gpus
        bought = self.prices.spill_usd_per_replica_s
        return bought if isfinite(bought) else FORBIDDEN_RATIO * self.prices.replica_usd_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a pool may have. `start`: how many of them there are GPUs for right now. `reason`: why not its wish."""

    replicas: int
    start: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedState:
    """Carried from tick to tick. `given`: replicas by pool. `used`: how much each level of a pool was used, averaged.
    `regret_usd`: what the best split would have saved more than this one, lately.
    """

    since_s: float | None = None
    at_s: float = 0.0
    given: Mapping[str, int] = field(default_factory=dict)
    used: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    regret_usd: float = 0.0


def share(claims: Sequence[Claim], gpus: int, state: SharedState, now_s: float) -> tuple[dict[str, Given], SharedState]:
    """Split so many GPUs; a pool that is blind, or a controller in its first cooldown, loses none to others."""
    first = state.since_s is None
    elapsed_s = 0.0 if first else min(TICK_MAX_S, max(0.0, now_s - state.at_s))
    since_s = now_s if state.since_s is None else state.since_s
    used = {claim.name: _averaged(claim, state.used.get(claim.name), elapsed_s) for claim in claims}
    kept = {claim.name: max(claim.least, min(claim.wish, state.given.get(claim.name, claim.have))) for claim in claims}
    settling = any(now_s - since_s < claim.cooldown_s for claim in claims)
    firm = {claim.name: kept[claim.name] if settling or claim.is_blind else claim.least for claim in claims}
    crowded = sum(kept[claim.name] * claim.gpus for claim in claims) > gpus  # by what an operator has said just now
    stay = _split(claims, gpus, firm if crowded else kept, used, kept)
    best = _split(claims, gpus, firm, used, stay)
    given, regret_usd = stay, 0.0
    if best != stay:
        regret_usd = max(0.0, state.regret_usd + elapsed_s * (_saved_now(claims, best) - _saved_now(claims, stay)))
        if regret_usd >= _move_usd(claims, stay, best, used):
            given, regret_usd = best, 0.0
    state = SharedState(since_s=since_s, at_s=now_s, given=given, used=used, regret_usd=regret_usd)
    return _told(claims, gpus, given, used), state


def _wish(claim: Claim) -> int:
    return max(claim.least, claim.wish)


def _averaged(claim: Claim, before: tuple[float, ...] | None, elapsed_s: float) -> tuple[float, ...]:
    """How much each level is used; as it is now where nothing was known of it."""
    if claim.demand_replicas is None:
        return before or ()
    now = _use(claim.demand_replicas, _wish(claim))
    if before is None:
        return now
    old = exp(-elapsed_s / max(LEAST_MEMORY_S, claim.cold_start_s))
    return tuple(
        value if level >= len(before) else old * before[level] + (1.0 - old) * value for level, value in enumerate(now)
    )


def _use(demand_replicas: float, levels: int) -> tuple[float, ...]:
    return tuple(min(1.0, max(0.0, demand_replicas - level)) for level in range(levels))


def _split(
    claims: Sequence[Claim],
    gpus: int,
    floors: Mapping[str, int],
    used: Mapping[str, tuple[float, ...]],
    liked: Mapping[str, int],
) -> dict[str, int]:
    """The replicas of each pool, from its floor up to its wish, that together save most; of equal ones those `liked`.

    Exact, by the best use of 0, 1, 2 ... of the GPUs beyond the floors. Where the floors alone are too many they stand.
    """
    if sum(_wish(claim) * claim.gpus for claim in claims) <= gpus:
        return {claim.name: _wish(claim) for claim in claims}
    unit = gcd(*(claim.gpus for claim in claims))
    room = (gpus - sum(floors[claim.name] * claim.gpus for claim in claims)) // unit
    best: list[tuple[tuple[float, int], dict[str, int]]] = [((0.0, 0), {})] * (max(0, room) + 1)
    for claim in claims:
        floor, most, size = floors[claim.name], _wish(claim), claim.gpus // unit
        gains = _gains(claim, floor, used[claim.name])
        after = []
        for free in range(len(best)):
            options = range(min(max(0, most - floor), free // size) + 1)
            found = []
            for more in options:
                (saved, kept), others = best[free - more * size]
                score = (saved + gains[more], kept + min(floor + more, liked[claim.name]))
                found.append((score, {**others, claim.name: floor + more}))
            after.append(max(found, key=lambda option: option[0]))
        best = after
    return best[-1][1]


def _gains(claim: Claim, floor: int, used: Sequence[float]) -> list[float]:
    """What 0, 1, 2 ... replicas beyond the floor save; rounded, so that noise of the last bit decides nothing."""
    gains = [0.0]
    for level in range(floor, _wish(claim)):
        gains.append(gains[-1] + claim.worth_usd_per_s * (used[level] if level < len(used) else 0.0))
    return [round(gain, 12) for gain in gains]


def _saved_now(claims: Sequence[Claim], given: Mapping[str, int]) -> float:
    """What this split saves per second at the demand of this tick."""
    return sum(
        claim.worth_usd_per_s * min(claim.demand_replicas, given[claim.name])
        for claim in claims
        if claim.demand_replicas is not None
    )


def _move_usd(
    claims: Sequence[Claim],
    stay: Mapping[str, int],
    best: Mapping[str, int],
    used: Mapping[str, tuple[float, ...]],
) -> float:
    """What it costs to change the split: the cold starts, and the work of who gives up until they are over."""
    longest_s = max((claim.cold_start_s for claim in claims if best[claim.name] > stay[claim.name]), default=0.0)
    lost_usd = started_usd = 0.0
    for claim in claims:
        name = claim.name
        lost_usd += sum(used[name][best[name] : stay[name]]) * claim.worth_usd_per_s * longest_s
        if claim.prices is not None:
            started_usd += max(0, best[name] - stay[name]) * claim.prices.start_usd
    return started_usd + lost_usd


def _told(
    claims: Sequence[Claim], gpus: int, given: Mapping[str, int], used: Mapping[str, tuple[float, ...]]
) -> dict[str, Given]:
    """Who may start what now: those whose next replica saves most per GPU first, while GPUs last."""
    free = gpus - sum(claim.held * claim.gpus for claim in claims)
    found = {}
    for claim in sorted(claims, key=lambda one: -_next_usd(one, one.have, used) / one.gpus):
        start = max(0, min(given[claim.name] - claim.have, free // claim.gpus))
        free -= start * claim.gpus
        missing = _wish(claim) - given[claim.name]
        reason = ""
        if missing > 0:
            reason = _lost_to(claim, claims, gpus, given, used)
        elif claim.have + start < given[claim.name]:
            reason = f"waits for GPUs: {max(0, free)} of {gpus} are free"
        found[claim.name] = Given(replicas=given[claim.name], start=start, reason=reason)
    return found


def _next_usd(claim: Claim, level: int, used: Mapping[str, tuple[float, ...]]) -> float:
    """What the replica of this level saves per second."""
    levels = used[claim.name]
    return claim.worth_usd_per_s * levels[level] if 0 <= level < len(levels) else 0.0


def _lost_to(
    claim: Claim,
    claims: Sequence[Claim],
    gpus: int,
    given: Mapping[str, int],
    used: Mapping[str, tuple[float, ...]],
) -> str:
    """Why a pool does not have its wish, in dollars per GPU and hour."""

    def per_gpu(one: Claim, level: int) -> str:
        return f"${_next_usd(one, level, used) / one.gpus * SECONDS_PER_HOUR:.3g}"

    here = per_gpu(claim, given[claim.name])
    others = [
        f"{other.name} {per_gpu(other, given[other.name] - 1)} with its last"
        for other in claims
        if other is not claim and given[other.name] > 0
    ]
    words = f"{_wish(claim)} would pay, but the {gpus} GPUs are shared: one more saves {here} per GPU and hour"
    return ", ".join((words, *others))
