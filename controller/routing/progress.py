"""Is an engine hung? It has work, and nothing comes out of it for longer than the prediction explains.

Idle is not hung: nothing is under way. Saturated is not hung: the tokens of others flow, or the wait was predicted. A
caller who does not read is not hung either: the engine has done its part.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.core.records import record

SLACK_S = 2.0  # what any engine may pause for
LATE_RATIO = 3.0  # a first token or a whole answer may take this many times what was predicted
QUIET_STEPS = 4.0  # answers under way may stand still for this many of the longest steps


@record
class UnderWay:
    """One request: how long it has waited for its next sign of life, and how long it may."""

    waited_s: float
    bound_s: float


def first_token_bound_s(predicted_ttft_s: float, limit_s: float) -> float:
    """How long a first token may take before its engine is suspected."""
    return min(limit_s, SLACK_S + LATE_RATIO * predicted_ttft_s)


def whole_bound_s(predicted_ttft_s: float, decode_s: float, limit_s: float) -> float:
    """The same for a whole answer, of which nothing is heard before its end."""
    return min(limit_s, SLACK_S + LATE_RATIO * (predicted_ttft_s + decode_s))


def quiet_bound_s(full_step_s: float) -> float:
    """The same for the next token of an answer under way."""
    return SLACK_S + QUIET_STEPS * full_step_s


def is_hung(quiet_s: float, under_way: Iterable[UnderWay]) -> bool:
    """Whether nothing at all has come for `quiet_s` and somebody waits longer than can be explained."""
    if quiet_s < SLACK_S:
        return False
    return any(request.waited_s >= request.bound_s for request in under_way)
