"""What the ledger is asked before an external call: the most it can cost, and what it should."""

from __future__ import annotations

from controller.core.ledger import Reservation, Verdict
from controller.core.money import Usage
from controller.gateway.destinations import Destination
from controller.gateway.exchange import Exchange, Skip
from controller.routing.budget import DAY_S

BUDGET = "budget"
UNAVAILABLE = "ledger_unavailable"
LEDGER_RETRY_S = 1.0
UNAVAILABLE_S = 30.0  # so long after a ledger that did not answer nothing can be counted on
OUTCOME_SLACK_S = 60.0  # after the request's deadline: nobody will tell any more how it ended


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
    """Tenants for whom nothing is bought just now, and until when, as the ledger has said."""

    __slots__ = ("until_s",)

    def __init__(self) -> None:
        self.until_s: dict[str, float] = {}  # mostly empty, and then no request need ask more

    def told(self, tenant: str, verdict: Verdict, at_s: float) -> None:
        """The ledger's word about a purchase: one that is granted ends it, else it is asked again at the next day."""
        if verdict is Verdict.UNAVAILABLE:
            self.until_s[tenant] = at_s + UNAVAILABLE_S
        elif verdict is not Verdict.GRANTED:
            self.until_s[tenant] = (at_s // DAY_S + 1) * DAY_S
        elif self.until_s:
            self.until_s.pop(tenant, None)

    def forget(self) -> None:
        """Budgets may have changed: the ledger is asked again."""
        self.until_s.clear()

    def holds(self, tenant: str, at_s: float) -> bool:
        """Whether nothing can be bought for this tenant now."""
        until_s = self.until_s.get(tenant)
        if until_s is not None and at_s >= until_s:
            del self.until_s[tenant]
            return False
        return until_s is not None


def unpaid(provider: str, verdict: Verdict) -> Skip:
    """Why nothing is bought there."""
    if verdict is Verdict.UNAVAILABLE:
        reason = "the ledger does not answer, so nothing is bought"
        return Skip(target=provider, code=UNAVAILABLE, reason=reason, retry_after_s=LEDGER_RETRY_S)
    return Skip(target=provider, code=BUDGET, reason=f"the budget of the {verdict.value} does not cover it")
