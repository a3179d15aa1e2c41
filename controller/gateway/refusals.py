"""What a caller hears when no target answered: the upstream's own words if any, else why each was passed over."""

from __future__ import annotations

from controller.core.errors import ErrorSource, RequestError, UpstreamError, UpstreamRejected
from controller.core.requests import Target
from controller.gateway.admission import MAX_COST
from controller.gateway.answers import from_upstream
from controller.gateway.deadlines import DEADLINE
from controller.gateway.exchange import Exchange, Skip
from controller.gateway.purchases import BUDGET

DEFAULT_RETRY_S = 1.0
_FULL = frozenset({"saturated", "breaker"})
DIALECT = "dialect"
_LASTING = frozenset({BUDGET, MAX_COST, DIALECT, "no_replica"})  # a second try would hear the same


def give_up(exchange: Exchange, failure: tuple[UpstreamError, Target] | None) -> RequestError:
    """The refusal after the whole chain was considered."""
    if failure is not None:
        error, target = failure
        if target.pool is not None and isinstance(error, UpstreamRejected) and error.status in (429, 503):
            return _busy(exchange.skips, f"pool {target.name} is full", error.retry_after_s)
        refusal = from_upstream(error, target)
        if exchange.skips and refusal.status >= 429:
            refusal.message = f"{refusal.message} ({_words(exchange.skips)})"
        return refusal
    skips = exchange.skips
    codes = {skip.code for skip in skips}
    if codes == {DIALECT}:
        return RequestError(
            f"no target that may serve this request has words for it ({_words(skips)})",
            status=400,
            code="not_translatable",
            should_retry=False,
        )
    if MAX_COST in codes and codes <= _LASTING:
        return RequestError(
            f"no target may answer for what x-spillway-max-cost-usd allows ({_words(skips)})",
            status=400,
            code="max_cost_exceeded",
            param="x-spillway-max-cost-usd",
            should_retry=False,
        )
    if DEADLINE in codes and not codes & _FULL:
        return RequestError(
            f"no target can begin its answer by the deadline ({_words(skips)})",
            status=504,
            code="deadline_unreachable",
            kind="server_error",
            retry_after_s=_wait_s(skips),
        )
    if BUDGET in codes and codes <= _LASTING:
        return RequestError(
            f"the budget for external models does not cover this request ({_words(skips)})",
            status=429,
            code="insufficient_quota",
            kind="insufficient_quota",
            should_retry=False,
        )
    if any(skip.code in _FULL for skip in skips):
        return _busy(skips, "every target is busy", None)
    return RequestError(
        f"no target can serve this request now ({_words(skips)})",
        status=503,
        code="no_target_available",
        kind="server_error",
        retry_after_s=_wait_s(skips),
        source=ErrorSource.POOL if exchange.home is not None else ErrorSource.GATEWAY,
    )


def _busy(skips: list[Skip], words: str, retry_after_s: float | None) -> RequestError:
    detail = f" ({_words(skips)})" if skips else ""
    return RequestError(
        f"{words}{detail}",
        status=429,
        code="overloaded",
        kind="rate_limit_error",
        retry_after_s=retry_after_s or _wait_s(skips),
        source=ErrorSource.POOL,
    )


def _words(skips: list[Skip]) -> str:
    return "; ".join(dict.fromkeys(f"{skip.target}: {skip.reason}" for skip in skips))


def _wait_s(skips: list[Skip]) -> float:
    """When the first of them may be worth another try."""
    waits = [skip.retry_after_s for skip in skips if skip.retry_after_s is not None]
    return max(DEFAULT_RETRY_S, min(waits, default=DEFAULT_RETRY_S))


def gateway_full(limit: int) -> RequestError:
    """The gateway itself has as many requests as it may."""
    return RequestError(
        f"the gateway has {limit} requests in flight, its limit",
        status=429,
        code="gateway_full",
        kind="rate_limit_error",
        retry_after_s=DEFAULT_RETRY_S,
    )


def malformed(status: int, why: str) -> RequestError:
    """What came is no request that HTTP/1.1 allows here."""
    return RequestError(f"the request was refused: {why}", status=status, code="malformed_http", should_retry=False)


def slow_body(limit_s: float) -> RequestError:
    """The body did not arrive."""
    return RequestError(
        f"the body did not arrive within {limit_s:g} s and a second more for each KiB",
        status=408,
        code="body_timeout",
        should_retry=True,
    )


def internal() -> RequestError:
    """A defect of ours; details are in the log under the request id."""
    return RequestError(
        "the gateway failed; its log has the details under this request id",
        status=500,
        code="internal_error",
        kind="server_error",
    )


def wrong_method(allowed: str) -> RequestError:
    """The route is there, the method is not."""
    return RequestError(f"this route answers {allowed} only", status=405, code="method_not_allowed", should_retry=False)
