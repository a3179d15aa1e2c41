"""What a caller hears when no target answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.errors import EngineUnavailable, ErrorSource, RequestError, UpstreamError, UpstreamRejected
from controller.core.requests import Target
from controller.gateway.exchange import Exchange, Skip
from controller.gateway.refusals import gateway_full, give_up, internal, malformed, slow_body
from tests.gateway.gateway_builders import BOUGHT, OWN, exchange
from tests.routing.builders import model


def skip(code: str, retry_after_s: float | None = None, target: str = "llama-8b") -> Skip:
    """A target passed over."""
    return Skip(target=target, code=code, reason=f"it is {code}", retry_after_s=retry_after_s)


def gave_up(*skips: Skip, failure: tuple[UpstreamError, Target] | None = None, own: bool = True) -> RequestError:
    """The refusal."""
    asked: Exchange = exchange(plan=(OWN, BOUGHT) if own else (BOUGHT,))
    asked.skips.extend(skips)
    return give_up(asked, failure)


POOL, GATEWAY = ErrorSource.POOL, ErrorSource.GATEWAY
SKIPS = {
    # what: skips, status, code, retry after, should retry, source
    "saturated": ([skip("saturated", 7.0)], 429, "overloaded", 7.0, None, POOL),
    "the soonest counts": ([skip("saturated", 7.0), skip("breaker", 3.0)], 429, "overloaded", 3.0, None, POOL),
    "at least a second": ([skip("saturated", 0.01)], 429, "overloaded", 1.0, None, POOL),
    "left alone": ([skip("breaker", 9.0)], 429, "overloaded", 9.0, None, POOL),
    "saturated, and no budget": ([skip("saturated", 7.0), skip("budget")], 429, "overloaded", 7.0, None, POOL),
    "no budget": ([skip("no_replica", 2.0), skip("budget")], 429, "insufficient_quota", None, False, GATEWAY),
    "no budget, but warming": ([skip("warming", 9.0), skip("budget")], 503, "no_target_available", 9.0, None, POOL),
    "no replica": ([skip("no_replica", 2.0)], 503, "no_target_available", 2.0, None, POOL),
    "warming": ([skip("warming", 30.0), skip("dialect")], 503, "no_target_available", 30.0, None, POOL),
    "nothing known": ([], 503, "no_target_available", 1.0, None, POOL),
}


@pytest.mark.parametrize(("skips", "status", "code", "retry_s", "again", "source"), SKIPS.values(), ids=SKIPS.keys())
def test_when_nothing_was_tried(
    *, skips: list[Skip], status: int, code: str, retry_s: float | None, again: bool | None, source: ErrorSource
) -> None:
    """Full is 429 with a time; no money is 429 that is not repeated; nobody there is 503."""
    told = gave_up(*skips)
    assert (told.status, told.code, told.retry_after_s, told.should_retry) == (status, code, retry_s, again)
    assert told.source is source
    for passed in skips:
        assert f"{passed.target}: {passed.reason}" in told.message


def test_external_requests_without_a_target_blame_no_pool() -> None:
    """The gateway itself refuses what no pool was to serve."""
    assert gave_up(skip("dialect", target="anthropic"), own=False).source is GATEWAY


def test_each_reason_is_said_once() -> None:
    """A pool that was late twice is named once."""
    assert gave_up(skip("saturated"), skip("saturated")).message.count("llama-8b") == 1


def test_two_models_of_one_provider_are_told_apart() -> None:
    """A provider is named with the model it was passed over for, in the refusal; a pool by its name."""
    asked = exchange(plan=(OWN, BOUGHT))
    small = replace(BOUGHT, model=model("gpt-4o-mini"))
    asked.passed_over(OWN, skip("saturated"))
    for target in (BOUGHT, small):
        asked.passed_over(target, skip("breaker", 4.0, "openai"))
    told = give_up(asked, None)
    assert told.message == (
        "every target is busy (llama-8b: it is saturated; openai gpt-4o: it is breaker; "
        "openai gpt-4o-mini: it is breaker)"
    )
    assert told.retry_after_s == 4.0


@pytest.mark.parametrize("status", [429, 503])
def test_a_pool_that_refuses_is_full(status: int) -> None:
    """An own engine's queue limit is 429 to the caller, with the engine's time, else that of the others."""
    told = gave_up(skip("breaker", 9.0, "groq"), failure=(UpstreamRejected(status, b"", 4.0), OWN))
    assert (told.status, told.code, told.retry_after_s, told.source) == (429, "overloaded", 4.0, POOL)
    assert "pool llama-8b is full" in told.message
    assert gave_up(skip("breaker", 9.0, "groq"), failure=(UpstreamRejected(status, b""), OWN)).retry_after_s == 9.0


def test_a_failure_is_told_with_what_was_passed_over() -> None:
    """The last upstream's words, and why the others were not tried; a refused request is left as it is."""
    told = gave_up(skip("breaker", target="groq"), failure=(EngineUnavailable("gone"), BOUGHT))
    assert (told.status, told.message) == (503, "openai: gone (groq: it is breaker)")
    refused = gave_up(skip("breaker", target="groq"), failure=(UpstreamRejected(400, b'{"error":"bad"}'), BOUGHT))
    assert (refused.status, refused.message) == (400, "bad")


OTHERS = {
    "full": (gateway_full(7), 429, "gateway_full", "the gateway has 7 requests in flight, its limit", None),
    "slow body": (
        slow_body(30.0),
        408,
        "body_timeout",
        "the body did not arrive within 30 s and a second more for each KiB",
        True,
    ),
    "malformed": (malformed(431, "the head is too large"), 431, "malformed_http", "the head is too large", False),
    "internal": (internal(), 500, "internal_error", "its log has the details under this request id", None),
}


@pytest.mark.parametrize(("told", "status", "code", "words", "again"), OTHERS.values(), ids=OTHERS.keys())
def test_refusals_of_the_gateway(told: RequestError, status: int, code: str, words: str, again: bool | None) -> None:
    """Each with its status, code and words, and whether to come back."""
    assert (told.status, told.code, told.should_retry, told.source) == (status, code, again, GATEWAY)
    assert words in told.message
