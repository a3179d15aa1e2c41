"""Whose fault it is that an upstream refused: the operator's key, or the request."""

from __future__ import annotations

import json

import pytest

from controller.core.errors import EngineUnavailable, UpstreamError, UpstreamRejected
from controller.routing.attempts import is_callers_fault
from controller.routing.key_faults import is_key_refused, may_another_key

CREDIT = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade."
LIMITS = "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."


def said(status: int, **error: object) -> UpstreamRejected:
    """A refusal in the shape that both dialects share."""
    return UpstreamRejected(status, json.dumps({"type": "error", "error": error}).encode())


REFUSALS: dict[str, tuple[UpstreamError | None, bool]] = {
    "nothing happened": (None, False),
    "no connection": (EngineUnavailable("gone"), False),
    "401": (UpstreamRejected(401, b""), True),
    "402": (UpstreamRejected(402, b""), True),
    "403": (UpstreamRejected(403, b""), True),
    "429 by pace": (said(429, type="tokens", code="rate_limit_exceeded", message="Limit reached"), False),
    "OpenAI, no quota": (said(429, type="insufficient_quota", code="insufficient_quota", message="You exceeded"), True),
    "OpenAI, no quota, by type alone": (said(429, type="insufficient_quota", code=None, message="x"), True),
    "OpenAI, not active": (said(429, type="billing_not_active", code="billing_not_active", message="x"), True),
    "OpenAI, hard limit": (said(400, type="invalid_request_error", code="billing_hard_limit_reached"), True),
    "in a stream": (said(502, type="insufficient_quota", code="insufficient_quota"), True),
    "Anthropic, no credit": (said(400, type="invalid_request_error", message=CREDIT), True),
    "Anthropic, limit of the month": (said(400, type="invalid_request_error", message=LIMITS), True),
    "a caller who quotes it": (said(400, type="invalid_request_error", message=f"bad value: {CREDIT}"), False),
    "a caller who names it": (said(400, type="invalid_request_error", message="no model insufficient_quota"), False),
    "the words as something else": (said(400, type="not_found_error", message=CREDIT), False),
    "words that are no text": (said(400, type="invalid_request_error", message=[CREDIT]), False),
    "cut short": (UpstreamRejected(429, b'{"error":{"code":"insufficient_quota"'), False),
    "nested without end": (UpstreamRejected(429, b"[" * 4000 + b"insufficient_quota"), False),
    "no object": (UpstreamRejected(429, b'["insufficient_quota"]'), False),
    "an error that is none": (UpstreamRejected(429, b'{"error":"insufficient_quota"}'), False),
    "a bad request": (said(400, type="invalid_request_error", message="max_tokens is too large"), False),
}


@pytest.mark.parametrize(("error", "refused"), REFUSALS.values(), ids=REFUSALS.keys())
def test_whose_fault_it_is(error: UpstreamError | None, *, refused: bool) -> None:
    """The key's fault is told by the provider's own code or words, and never by what a caller sent."""
    assert is_key_refused(error) is refused
    assert may_another_key(error) is (refused or (isinstance(error, UpstreamRejected) and error.status == 429))
    if refused:
        assert not is_callers_fault(error), "another target may well answer"
