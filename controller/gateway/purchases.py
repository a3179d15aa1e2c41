"""What the ledger is asked before an external call: the most it can cost, and what it should."""

from __future__ import annotations

from typing import NamedTuple

from controller.core.ledger import Reservation, Verdict
from controller.core.money import Usage
from controller.gateway.destinations import Destination
from controller.gateway.exchange import Exchange, Skip
from controller.routing.budget import DAY_S, HOUR_S

BUDGET = "budget"
UNAVAILABLE = "ledger_unavailable"
LEDGER_RETRY_S = 1.0
UNAVAILABLE_S = 30.0  # so long after a ledger that did not answer nothing can be counted on
OUTCOME_SLACK_S = 60.0  # after the request's deadline: nobody will tell any more how it ended


class Payer(NamedTuple):
    """A tenant, or a pool that spills: whose budget may be spent."""

    tenant: str | None = None
    pool: str | None = None


def reservation(exchange: Exchange, provider: str, destination: Destination, *, deadline_s: float) -> Reservation:
    """The wish for one call; the request ends within `deadline_s` of its acceptance."""
    profile, model = exchange.profile, destination.model
    expected = Usage(input_tokens=profile.input_tokens_estimate, output_tokens=profile.output_tokens_estimate)
    most_nanousd = destination.most_nanousd(exchange.decoded)
    return Reservation(
        request_id=exchange.request_id,
        expires_at_s=exchange.at_s + deadline_s + OUTCOME_SLACK_S,
        amount_nanousd=most_nanousd,
        estimate_nanousd=min(most_nanousd, destination.price.cost(expected)),
        at_s=exchange.at_s,
        tenant=exchange.key.tenant,
        key_id=exchange.key.public_id,
        operation=exchange.operation.value,
        requested_model=profile.requested_model,
        complexity=profile.complexity.value,
        target=provider,
        model_key=model.key,
        model_id=model.model_id,
        input_tokens=expected.input_tokens,
        output_tokens=expected.output_tokens,
        spilled=exchange.home is not None,
        simulated=destination.simulated,
        stream=profile.stream,
        home_pool=None if exchange.home is None else exchange.home.name,
    )


class SpentBudgets:
    """Tenants and pools for whom nothing is bought just now, and until when, as the ledger has said."""

    __slots__ = ("until_s",)

    def __init__(self) -> None:
        self.until_s: dict[Payer, float] = {}  # mostly empty, and then no request need ask more

    def told(self, wish: Reservation, verdict: Verdict) -> None:
        """The ledger's word about a purchase: granted, it is over; else it is asked again in the next period."""
        tenant, pool, at_s = Payer(tenant=wish.tenant), Payer(pool=wish.home_pool), wish.at_s
        if verdict is Verdict.UNAVAILABLE:
            self.until_s[tenant] = at_s + UNAVAILABLE_S
        elif verdict is Verdict.POOL_HOUR_SPENT:
            self.until_s[pool] = (at_s // HOUR_S + 1) * HOUR_S
        elif verdict is not Verdict.GRANTED:
            self.until_s[tenant] = (at_s // DAY_S + 1) * DAY_S
        elif self.until_s:
            self.until_s.pop(tenant, None)
            self.until_s.pop(pool, None)

    def forget(self) -> None:
        """Budgets may have changed: the ledger is asked again."""
        self.until_s.clear()

    def holds(self, tenant: str, pool: str, at_s: float) -> bool:
        """Whether nothing can be bought now for what this tenant asks of this pool."""
        return self._holds(Payer(tenant=tenant), at_s) or self._holds(Payer(pool=pool), at_s)

    def _holds(self, payer: Payer, at_s: float) -> bool:
        until_s = self.until_s.get(payer)
        if until_s is not None and at_s >= until_s:
            del self.until_s[payer]
            return False
        return until_s is not None


def unpaid(provider: str, verdict: Verdict) -> Skip:
    """Why nothing is bought there."""
    if verdict is Verdict.UNAVAILABLE:
        reason = "the ledger does not answer, so nothing is bought"
        return Skip(target=provider, code=UNAVAILABLE, reason=reason, retry_after_s=LEDGER_RETRY_S)
    return Skip(target=provider, code=BUDGET, reason=f"the budget of the {verdict.value} does not cover it")
