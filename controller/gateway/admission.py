"""May this request go to that target now? Saturation for own pools; breaker, deadline, cost and budget for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from controller.core.fleet import Replica, RoutingMode
from controller.core.ledger import Verdict
from controller.core.models import Provider, StepTimes
from controller.core.money import NANOUSD_PER_USD, Usage
from controller.core.pools import Pool
from controller.core.records import record
from controller.core.requests import Target
from controller.gateway.credentials import Credential, Credentials
from controller.gateway.destinations import Destination, Destinations
from controller.gateway.exchange import Exchange, Late, Skip
from controller.gateway.guard import Guard
from controller.gateway.loads import LiveLoad, Loads
from controller.gateway.own_pools import OwnPools
from controller.gateway.ports import Clock, Ledger
from controller.gateway.purchases import SpentBudgets, reservation, unpaid
from controller.gateway.waiting import Room, Rooms
from controller.routing.balance import Candidate
from controller.routing.choose import choose
from controller.routing.conversations import resumed
from controller.routing.predict import ReplicaLoad, predict_ttft_s
from controller.routing.spill_gate import SpillGate, gpu_seconds
from controller.routing.waiting_line import RANKS

if __debug__:
    from controller.telemetry import failpoints

CONVERSATION = "conversation"
MAX_COST = "max_cost"
ALONE_MARGIN = 1.25  # a TTFT within this of the one on an idle replica will not get better by waiting
# Of the SLO: with more predicted, requests that can go elsewhere do; batches grow while it is decided.
TPOT_RATIO = 0.95
WARM_RATIO = 0.5  # of a prompt: with so much of it in a replica's prefix cache it is dear to send away


@record
class Admitted:
    """A place at an upstream: a replica, by which `breaker` names it, or a provider with the key to use."""

    base_url: str
    breaker: str = ""
    credential: Credential | None = None
    other_keys: bool = False
    replica: Replica | None = None
    load: LiveLoad | None = None
    found: Candidate | None = None
    room: Room | None = None
    predicted_ttft_s: float | None = None


class Admission:
    """Asked once per request for the order, and once per try for a place."""

    def __init__(
        self,
        pools: OwnPools,
        *,
        loads: Loads,
        credentials: Credentials,
        ledger: Ledger,
        rooms: Rooms,
        destinations: Destinations,
        spent: SpentBudgets,
        step_times: Mapping[str, StepTimes],
        total_s: float,
        clock: Clock,
    ) -> None:
        self._pools = pools
        self._loads = loads
        self._credentials = credentials
        self._ledger = ledger
        self._rooms = rooms
        self._destinations = destinations
        self._spent = spent
        self._step_times = step_times
        self._total_s = total_s
        self._clock = clock
        self._gates: dict[str, SpillGate] = {}

    def reconfigure(self, pools: Mapping[str, Pool], step_times: Mapping[str, StepTimes], total_s: float) -> None:
        """By these settings from now on; the gates of pools that stay go on where they are."""
        self._step_times, self._total_s = step_times, total_s
        self._gates = {name: gate for name, gate in self._gates.items() if name in pools}

    def order(self, exchange: Exchange) -> None:
        """Sets the chain of this moment from the plan; the spill gate of the home pool has its say."""
        profile, home = exchange.profile, exchange.home
        view = self._pools.view()
        spill_now, mode, place = False, RoutingMode.LOCAL, None
        if home is not None and profile.spill_allowed:
            place = self._pools.place_of(profile)
            stays = place is not None and place.target == home.name
            pool = view.pools.get(home.name)
            mode = RoutingMode.LOCAL if pool is None else pool.mode
            if pool is not None and mode is RoutingMode.SPILLING and not stays:
                spill_now = self._spills(exchange, home, pool.spill_ratio)
        exchange.chain = choose(profile, exchange.plan, view, spill_now=spill_now)
        if place is not None and exchange.chain[0] is home:
            exchange.chain = resumed(exchange.chain, place)
            if exchange.chain[0] is not home:
                exchange.spill(CONVERSATION)
        if mode is not RoutingMode.LOCAL and exchange.chain[0] is not home:
            exchange.spill(mode.value.lower())

    def _spills(self, exchange: Exchange, home: Target, ratio: float) -> bool:
        """Whether this request is one of the share that leaves its pool: by what its GPU time costs outside."""
        gate = self._gates.get(home.name)
        if gate is None:
            gate = self._gates[home.name] = SpillGate()
        pool, steps = home.pool, self._step_times.get(home.name)
        away = next((target for target in exchange.plan if target.pool is None), None)
        if away is None or pool is None or steps is None:
            return gate.take(ratio)
        tokens_in, tokens_out = exchange.profile.input_tokens_estimate, exchange.profile.output_tokens_estimate
        cost_nanousd = self._destinations.of(away, exchange.operation).price.cost(
            Usage(input_tokens=tokens_in, output_tokens=tokens_out)
        )
        warm_tokens = self._pools.warm_tokens(pool, exchange.profile.prefixes)
        relieved_s = gpu_seconds(
            steps, pool.engine, input_tokens=max(1, tokens_in - warm_tokens), output_tokens=tokens_out
        )
        return gate.take(ratio, cost_nanousd / max(relieved_s, 1e-9), warm=warm_tokens >= WARM_RATIO * tokens_in)

    def own(
        self,
        exchange: Exchange,
        pool: Pool,
        tried: frozenset[str],
        now_s: float,
        *,
        others: Sequence[Target] = (),
        called: bool = False,
    ) -> Admitted | Skip:
        """A replica, unless its first token would be late; who is not `called` from the line does not overtake it.

        A prompt that alone takes longer than the SLO is not late for want of a place: it stays where it is, unless
        there are `others`. Where there are, neither may its tokens come too slowly.
        """
        profile = exchange.profile
        by_s = exchange.first_token_by_s
        found = self._found(exchange, pool, tried, now_s) if others else self._soonest(exchange, pool, tried, now_s)
        if isinstance(found, Skip):
            return found
        room = self._rooms.of(pool)
        predicted_s, limit_s = found.predicted_ttft_s, room.line.late_after_s(now_s)
        if predicted_s > limit_s and not others:
            limit_s = max(limit_s, ALONE_MARGIN * self._alone_s(pool, found))
        overtakes = not called and room.line.depth and room.line.ahead(RANKS[profile.priority], now_s)
        # Who has nowhere else to go waits here rather than inside the engine, where nobody can take it back: a line
        # that is seen is kept short, and predictions err. Under a standing load nobody waits there.
        pressed = room.line.pressed(now_s)
        is_full = found.in_flight >= pool.engine.max_num_seqs and (pressed or not others)
        if predicted_s > limit_s or overtakes or is_full:
            return _late(pool, found, limit_s, is_full=is_full, pressed=pressed)
        if by_s is not None and now_s + predicted_s > by_s:
            return _too_late(pool.name, predicted_s, by_s - now_s)
        replica = found.replica
        return Admitted(
            base_url=replica.url,
            breaker=replica.replica_id,
            replica=replica,
            load=self._loads.of(replica.replica_id),
            found=found,
            predicted_ttft_s=predicted_s,
            room=room,
        )

    def _soonest(self, exchange: Exchange, pool: Pool, tried: frozenset[str], now_s: float) -> Candidate | Skip:
        """The replica with the earliest first token."""
        profile = exchange.profile
        return self._pools.find(
            pool,
            profile.input_tokens_estimate,
            tried,
            now_s,
            prefixes=profile.prefixes,
            by_s=exchange.first_token_by_s,
        )

    def _found(self, exchange: Exchange, pool: Pool, tried: frozenset[str], now_s: float) -> Candidate | Skip:
        """The same, unless tokens would come too slowly there and at the next one too."""
        found = self._soonest(exchange, pool, tried, now_s)
        if isinstance(found, Skip) or not self._is_slow(exchange, pool, found):
            return found
        second = self._soonest(exchange, pool, tried | {found.replica.replica_id}, now_s)
        if isinstance(second, Skip) or self._is_slow(exchange, pool, second):
            words = f"a token each {self._token_s(exchange, found):.3g} s predicted, SLO {pool.slo.tpot_p95_s:g} s"
            return Skip(target=pool.name, code="saturated", reason=f"saturated: {words}", retry_after_s=1.0)
        return second

    def _is_slow(self, exchange: Exchange, pool: Pool, found: Candidate) -> bool:
        return found.in_flight > 0 and self._token_s(exchange, found) > TPOT_RATIO * pool.slo.tpot_p95_s

    def _token_s(self, exchange: Exchange, found: Candidate) -> float:
        return self._loads.of(found.replica.replica_id).next_token_s(exchange.profile.input_tokens_estimate)

    def _alone_s(self, pool: Pool, found: Candidate) -> float:
        """The TTFT of this prompt there with nothing else under way."""
        steps, expected_s = self._step_times.get(pool.name), found.wait_s + found.prefill_s
        if not found.in_flight or steps is None or not 0.0 < expected_s < inf:
            return 0.0 if found.in_flight else found.predicted_ttft_s
        alone_s = predict_ttft_s(ReplicaLoad(), steps, pool.engine, input_tokens=found.tokens)
        return alone_s * found.predicted_ttft_s / expected_s  # slower or quicker than its step times say

    async def wait(
        self, exchange: Exchange, guard: Guard, pool: Pool, tried: frozenset[str], first: Skip
    ) -> Admitted | Skip:
        """A place in a pool that had none for this request when it came, once there is one."""
        return await self._rooms.of(pool).wait(
            exchange, guard, first, lambda now_s: self.own(exchange, pool, tried, now_s, called=True)
        )

    async def external(
        self, exchange: Exchange, provider: Provider, destination: Destination, now_s: float
    ) -> Admitted | Skip:
        """The provider, unless it rests or costs too much; then the money is set aside."""
        tokens = exchange.profile.input_tokens_estimate + exchange.profile.output_tokens_estimate
        credential = self._credentials.pick(provider, tokens, now_s)
        if isinstance(credential, Skip):
            return credential
        by_s, most_allowed = exchange.first_token_by_s, exchange.profile.max_cost_nanousd
        if by_s is not None and now_s + provider.ttft_s > by_s:
            return _too_late(provider.name, provider.ttft_s, by_s - now_s)
        wish = reservation(exchange, provider.name, destination, deadline_s=self._total_s)
        if most_allowed is not None and wish.amount_nanousd > most_allowed:
            return Skip(
                target=provider.name,
                code=MAX_COST,
                reason=f"it may cost up to {wish.amount_nanousd / NANOUSD_PER_USD:.6f} USD",
            )
        if wish.amount_nanousd:
            verdict = await self._ledger.reserve(wish)
            self._spent.told(wish, verdict)
            if verdict is not Verdict.GRANTED:
                return unpaid(provider.name, verdict)
            credential = self._credentials.pick(provider, tokens, self._clock.monotonic_s())
            if isinstance(credential, Skip):  # others were quicker while the ledger thought
                self._ledger.void(exchange.request_id)
                return credential
        if __debug__:
            failpoints.hit("gateway.reserved")
        other_keys = len(self._credentials.of(provider, now_s)) > 1
        return Admitted(base_url=provider.base_url, credential=credential, other_keys=other_keys)


def _late(pool: Pool, found: Candidate, limit_s: float, *, is_full: bool, pressed: bool) -> Late:
    """Why it has to wait. In a full engine for a slot: `wait_s` is that part of the prediction."""
    predicted_s, slo_s = found.predicted_ttft_s, pool.slo.ttft_p95_s
    words = f"first token predicted in {predicted_s:.3g} s, SLO {slo_s:g} s"
    slot_s = 0.0
    if is_full and not pressed and found.wait_s < inf:
        slot_s = predicted_s * found.wait_s / max(1e-9, found.wait_s + found.prefill_s)
    return Late(
        target=pool.name,
        code="saturated",
        reason=f"saturated: {words}" if predicted_s > limit_s else "saturated: others wait for a place already",
        retry_after_s=max(0.0, predicted_s - slo_s),
        late_by_s=slot_s if is_full else predicted_s - limit_s,
        gap_s=predicted_s / (found.in_flight + 1),
        then_s=min(limit_s, predicted_s - slot_s),
    )


def _too_late(target: str, predicted_s: float, left_s: float) -> Skip:
    return Skip(
        target=target,
        code="deadline",
        reason=f"its first token is {predicted_s:.3g} s away, the deadline {max(0.0, left_s):.3g} s",
        retry_after_s=max(1.0, predicted_s - left_s),
    )
