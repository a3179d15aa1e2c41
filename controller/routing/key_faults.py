"""Whether an upstream refused the operator's key rather than the request: it is bad, or has nothing left to pay with.

OpenAI says the last by a code, at 429 or 400; Anthropic by words alone, at 400, where requests at fault are told too.
Only the error's own code, and how its message begins, are looked at: messages repeat what callers have sent.
"""

from __future__ import annotations

import json

from controller.core.errors import UpstreamError, UpstreamRejected

REFUSED_STATUSES = frozenset({401, 402, 403})
_CODES = frozenset({"insufficient_quota", "billing_not_active", "billing_hard_limit_reached"})
_BEGINNINGS = ("Your credit balance is too low", "You have reached your specified API usage limits")
_MARKS = (*(code.encode() for code in sorted(_CODES)), *(words.encode() for words in _BEGINNINGS))


def is_key_refused(error: UpstreamError | None) -> bool:
    """Whether every request with this key would hear the same, whatever it asks."""
    if not isinstance(error, UpstreamRejected):
        return False
    if error.status in REFUSED_STATUSES:
        return True
    body = error.body
    return any(mark in body for mark in _MARKS) and _nothing_left(body)


def may_another_key(error: UpstreamError | None) -> bool:
    """Whether another key of the same provider may do: this one is refused, or was told to wait."""
    return is_key_refused(error) or (isinstance(error, UpstreamRejected) and error.status == 429)


def _nothing_left(body: bytes) -> bool:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # cut short, or no answer of theirs: then it is what its status says
        return False
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return False
    named = {word for word in (error.get("code"), error.get("type")) if isinstance(word, str)}
    message = error.get("message")
    return not named.isdisjoint(_CODES) or (
        error.get("type") == "invalid_request_error" and isinstance(message, str) and message.startswith(_BEGINNINGS)
    )
