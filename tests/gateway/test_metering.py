"""The books of a finished request: one ledger row, and counters that add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.core.ledger import LedgerEntry
from controller.core.money import Usage, cost_nanousd
from controller.core.requests import Target, TargetKind
from controller.gateway.exchange import CALLER_LEFT, Exchange, Skip
from controller.gateway.metering import Meter
from controller.telemetry.gateway_metrics import GatewayMetrics
from tests.gateway.gateway_builders import (
    ANTHROPIC,
    BOUGHT,
    CLAUDE,
    GPT,
    OWN,
    MemoryLedger,
    SetClock,
    destinations,
    exchange,
)

CLAUDE_BOUGHT = Target(model=CLAUDE, pool=None, provider=ANTHROPIC, reason="fallback of llama-8b-self")
USED = Usage(input_tokens=70, output_tokens=5, cached_input_tokens=20)


class Books:
    """A meter with what it writes to. The request was accepted at second 1000; it is second 1004."""

    def __init__(self) -> None:
        self.metrics, self.ledger = GatewayMetrics(), MemoryLedger()
        self.destinations = destinations(self.metrics)
        self.meter = Meter(self.ledger, self.metrics, self.destinations, SetClock(1004.0))

    def finish(self, finished: Exchange) -> LedgerEntry:
        """The row."""
        self.meter.finish(finished)
        return self.ledger.posted[-1]

    def answered(self, target: Target, usage: Usage = USED, **changes: object) -> LedgerEntry:
        """The row of a request that this target answered."""
        asked = exchange(target=target)
        asked.usage, asked.status = usage, 200
        for name, value in changes.items():
            setattr(asked, name, value)
        self.meter.price_target(asked)
        return self.finish(asked)


def test_an_answer_of_an_own_pool() -> None:
    """Who, what, how much, how long; own money is counted apart from bought money."""
    books = Books()
    entry = books.answered(OWN, replica_id="r1", ttft_s=1.0, simulated=True)
    assert (entry.request_id, entry.tenant, entry.key_id) == ("req-1", "acme", "abc")
    assert (entry.target_kind, entry.target, entry.replica_id) == (TargetKind.OWN, "llama-8b", "r1")
    assert (entry.model_key, entry.model_id) == (OWN.model.key, OWN.model.model_id)
    assert (entry.status, entry.usage, entry.spilled, entry.reason) == (200, USED, False, "rule: simple")
    assert entry.cost_nanousd == cost_nanousd(OWN.model.price, USED) == books.metrics.own_nanousd
    assert (entry.e2e_s, entry.ttft_s, entry.simulated) == (4.0, 1.0, True)
    assert entry.chain == (OWN.model.key, BOUGHT.model.key)
    counted = books.metrics.targets["llama-8b"]
    assert counted.codes == {200: 1}
    assert (counted.fresh_input_tokens, counted.cached_input_tokens, counted.served_output_tokens) == (50, 20, 5)
    assert (counted.output_tokens, counted.spilled) == (5, {})
    assert (counted.duration.total, counted.ttft.total, counted.tpot.total) == (4.0, 1.0, (4.0 - 1.0) / 4)
    assert books.metrics.spend_nanousd == 0


def test_a_spilled_answer() -> None:
    """Served outside, but demand and output count at home, with the first reason for leaving."""
    books = Books()
    asked = exchange(target=BOUGHT)
    asked.usage, asked.status = USED, 200
    asked.spill("saturated")
    asked.spill("failed")
    asked.passed_over(OWN, Skip(target="llama-8b", code="saturated", reason="it is full"))
    asked.passed_over(CLAUDE_BOUGHT, Skip(target="anthropic", code="breaker", reason="it has no key"))
    books.meter.arrived(asked)
    books.meter.price_target(asked)
    entry = books.finish(asked)
    assert (entry.spilled, entry.target, entry.target_kind) == (True, "openai", TargetKind.EXTERNAL)
    assert entry.home_pool == "llama-8b"
    assert (
        entry.reason
        == "fallback of llama-8b-self; llama-8b skipped: it is full; anthropic claude-now skipped: it has no key"
    )
    assert entry.cost_nanousd == books.metrics.spend_nanousd == cost_nanousd(GPT.price, USED)
    home = books.metrics.targets["llama-8b"]
    assert (home.arrivals, home.input_tokens, home.output_tokens) == (1, asked.profile.input_tokens_estimate, 5)
    assert (home.spilled, home.codes) == ({"saturated": 1}, {})
    assert books.metrics.targets["openai"].codes == {200: 1}
    assert books.metrics.own_nanousd == 0


def test_a_request_that_belongs_outside_spills_nothing() -> None:
    """Without an own pool at the head of its plan there is no home."""
    books = Books()
    asked = exchange(plan=(BOUGHT,), target=BOUGHT)
    asked.usage, asked.status = USED, 200
    books.meter.arrived(asked)
    entry = books.finish(asked)
    assert (entry.spilled, entry.home_pool) == (False, None)
    assert set(books.metrics.targets) == {"openai"}


def test_a_refused_request() -> None:
    """One that was understood has a row without target and money, and counts as refused."""
    books = Books()
    asked = exchange(target=OWN)
    asked.status, asked.error = 503, "gone"
    entry = books.finish(asked)
    assert (entry.status, entry.target, entry.target_kind, entry.model_key) == (503, None, None, None)
    assert (entry.usage.input_tokens, entry.cost_nanousd, entry.spilled, entry.error) == (0, 0, False, "gone")
    assert books.metrics.refused == {503: 1}


def test_a_request_never_understood() -> None:
    """It only counts as refused: there is nothing to write down."""
    books = Books()
    asked = exchange()
    asked.classified, asked.status = False, 400
    books.meter.finish(asked)
    assert books.ledger.posted == []
    assert books.metrics.refused == {400: 1}


def test_a_caller_who_left() -> None:
    """Counted as departed; billed for what was seen."""
    books = Books()
    entry = books.answered(BOUGHT, status=CALLER_LEFT, ttft_s=1.0)
    assert (entry.status, entry.cost_nanousd > 0) == (499, True)
    assert books.metrics.client_left == 1
    assert books.metrics.targets["openai"].tpot.total == 0
    assert books.metrics.refused == {}
    unserved = exchange()
    unserved.status = CALLER_LEFT
    books.finish(unserved)
    assert (books.metrics.client_left, books.metrics.refused) == (2, {})


def test_an_upstream_that_does_not_say_what_it_used() -> None:
    """An estimate, flagged; the upstream's own word is never overwritten."""
    books = Books()
    asked = exchange(target=OWN)
    books.meter.estimate(asked, output_tokens=9)
    assert asked.usage == Usage(input_tokens=asked.profile.input_tokens_estimate, output_tokens=9, estimated=True)
    asked.usage = USED
    books.meter.estimate(asked, output_tokens=9)
    assert asked.usage == USED


def test_nothing_of_the_text_is_written_down() -> None:
    """Neither the prompt nor anything else of the body is in the row."""
    asked = exchange(target=OWN, messages=[{"role": "user", "content": "CANARY"}], user="CANARY")
    asked.usage, asked.status = USED, 200
    assert "CANARY" not in repr(Books().finish(asked))


usages = st.builds(
    lambda cached, fresh, output: Usage(input_tokens=cached + fresh, output_tokens=output, cached_input_tokens=cached),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.integers(0, 1000),
)


@given(st.lists(st.tuples(st.sampled_from([OWN, BOUGHT]), usages), max_size=8))
def test_counters_and_rows_tell_the_same(requests: list[tuple[Target, Usage]]) -> None:
    """Money and tokens summed over rows are what the metrics say, to the unit."""
    books = Books()
    for target, usage in requests:
        books.answered(target, usage)
    rows, targets = books.ledger.posted, books.metrics.targets.values()
    money = {kind: sum(row.cost_nanousd for row in rows if row.target_kind is kind) for kind in TargetKind}
    assert (money[TargetKind.OWN], money[TargetKind.EXTERNAL]) == (
        books.metrics.own_nanousd,
        books.metrics.spend_nanousd,
    )
    inputs = sum(target.fresh_input_tokens + target.cached_input_tokens for target in targets)
    assert inputs == sum(row.usage.input_tokens for row in rows)
    assert sum(target.served_output_tokens for target in targets) == sum(row.usage.output_tokens for row in rows)
    assert sum(sum(target.codes.values()) for target in targets) == len(rows)
