"""May this request go to that target now? Saturation and queue limits for own pools, breaker and budget for others."""

from __future__ import annotations

from collections.abc import Sequence

from controller.config.settings import Timeouts
from controller.core.fleet import Replica, RoutingMode
from controller.core.ledger import Verdict
from controller.core.models import Provider
from controller.core.pools import Pool
from controller.core.records import record
from controller.core.requests import Target
from controller.gateway.breakers import Breakers
from controller.gateway.destinations import Destination
from controller.gateway.exchange import Exchange, Skip
from controller.gateway.loads import LiveLoad, Loads
from controller.gateway.own_pools import OwnPools, queue_limit_s
from controller.gateway.ports import Ledger
from controller.gateway.purchases import reservation, unpaid
from controller.routing.balance import Candidate
from controller.routing.choose import choose
from controller.routing.conversations import resumed
from controller.routing.spill import SpillGate

if __debug__:
    from controller.telemetry import failpoints

CONVERSATION = "conversation"
BREAKER_MIN_RETRY_S = 1.0


@record
class Admitted:
    """A place at an upstream. `breaker` names it to the circuit breakers."""

    base_url: str
    breaker: str
    replica: Replica | None = None
    load: LiveLoad | None = None
    found: Candidate | None = None
    predicted_ttft_s: float | None = None


class Admission:
    """Asked once per request for the order, and once per try for a place."""

    def __init__(
        self, pools: OwnPools, *, loads: Loads, breakers: Breakers, ledger: Ledger, timeouts: Timeouts
    ) -> None:
        self._pools = pools
        self._loads = loads
        self._breakers = breakers
        self._ledger = ledger
        self._timeouts = timeouts
        self._gates: dict[str, SpillGate] = {}

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
                spill_now = self._gate(home.name).take(pool.spill_ratio)
        exchange.chain = choose(profile, exchange.plan, view, spill_now=spill_now)
        if place is not None and exchange.chain[0] is home:
            exchange.chain = resumed(exchange.chain, place)
            if exchange.chain[0] is not home:
                exchange.spill(CONVERSATION)
        if mode is not RoutingMode.LOCAL and exchange.chain[0] is not home:
            exchange.spill(mode.value.lower())

    def _gate(self, pool: str) -> SpillGate:
        gate = self._gates.get(pool)
        if gate is None:
            gate = self._gates[pool] = SpillGate()
        return gate

    def own(
        self, exchange: Exchange, pool: Pool, tried: frozenset[str], now_s: float, *, others: Sequence[Target]
    ) -> Admitted | Skip:
        """A replica, unless its first token would be late and `others` are there to try instead."""
        profile = exchange.profile
        found = self._pools.find(pool, profile.input_tokens_estimate, tried, now_s, prefixes=profile.prefixes)
        if isinstance(found, Skip):
            return found
        predicted_s, slo_s = found.predicted_ttft_s, pool.slo.ttft_p95_s
        late = predicted_s > slo_s
        if late and (others or predicted_s > queue_limit_s(pool, self._timeouts.ttft_s)):
            return Skip(
                target=pool.name,
                code="saturated",
                reason=f"saturated: first token predicted in {predicted_s:.3g} s, SLO {slo_s:g} s",
                retry_after_s=predicted_s - slo_s,
            )
        replica = found.replica
        return Admitted(
            base_url=replica.url,
            breaker=replica.replica_id,
            replica=replica,
            load=self._loads.of(replica.replica_id),
            found=found,
            predicted_ttft_s=predicted_s,
        )

    async def external(
        self, exchange: Exchange, provider: Provider, destination: Destination, now_s: float
    ) -> Admitted | Skip:
        """The provider, unless it rests or the tenant's budget is spent; then the money is set aside."""
        if not self._breakers.allows(provider.name, now_s):
            wait_s = max(BREAKER_MIN_RETRY_S, self._breakers.retry_after_s(provider.name, now_s))
            return Skip(
                target=provider.name,
                code="breaker",
                reason=f"it is left alone for {wait_s:.0f} s",
                retry_after_s=wait_s,
            )
        wish = reservation(exchange, provider.name, destination, deadline_s=self._timeouts.total_s)
        if wish.amount_nanousd:
            verdict = await self._ledger.reserve(wish)
            if verdict is not Verdict.GRANTED:
                return unpaid(provider.name, verdict)
        if __debug__:
            failpoints.hit("gateway.reserved")
        return Admitted(base_url=provider.base_url, breaker=provider.name)
