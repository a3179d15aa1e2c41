"""What counts as a failure of a replica, and how long it is left alone."""

from __future__ import annotations

import pytest

from controller.core.errors import EngineUnavailable, StreamBroken, UpstreamError, UpstreamRejected, UpstreamTimeout
from controller.gateway.breakers import Breakers


def rejected(status: int, retry_after_s: float | None = None) -> UpstreamRejected:
    """An answer with an error status."""
    return UpstreamRejected(status, b"", retry_after_s)


def after_failures(error: UpstreamError, *, times: int) -> Breakers:
    """The breakers once one upstream has failed so often, at second 100."""
    breakers = Breakers()
    for _ in range(times):
        breakers.failed("x", error, 100.0)
    return breakers


FAILURES = {
    "gone": EngineUnavailable("gone"),
    "connect timeout": UpstreamTimeout("connect", 1.0),
    "ttft timeout": UpstreamTimeout("ttft", 60.0),
    "broken stream": StreamBroken("cut"),
    "500": rejected(500),
    "502": rejected(502),
}


@pytest.mark.parametrize("error", FAILURES.values(), ids=FAILURES.keys())
def test_failures_open_it(error: UpstreamError) -> None:
    """Five in a row, for ten seconds."""
    assert after_failures(error, times=4).allows("x", 100.0)
    breakers = after_failures(error, times=5)
    assert not breakers.allows("x", 109.9)
    assert breakers.allows("x", 110.0)
    assert breakers.retry_after_s("x", 103.0) == pytest.approx(7.0)
    assert breakers.closed_to(103.0) == {"x": 7.0}


NO_FAILURES = {
    "a request at fault": rejected(400),
    "full, 429": rejected(429),
    "full, 503": rejected(503, 5.0),
    "a credential that own engines do not have": rejected(401),
}


@pytest.mark.parametrize("error", NO_FAILURES.values(), ids=NO_FAILURES.keys())
def test_full_is_not_broken_and_a_refusal_is_nobodys_failure(error: UpstreamError) -> None:
    """However often."""
    breakers = after_failures(error, times=50)
    assert breakers.allows("x", 100.0)
    assert breakers.closed_to(100.0) == {}


@pytest.mark.parametrize("error", [rejected(400), rejected(503)], ids=["a request at fault", "full"])
def test_an_answer_to_the_probe_closes_it(error: UpstreamError) -> None:
    """Half open lets one call through; whoever refuses it politely is alive."""
    breakers = after_failures(EngineUnavailable("gone"), times=5)
    breakers.started("x", 110.0)
    assert not breakers.allows("x", 111.0)
    breakers.failed("x", error, 111.0)
    assert breakers.allows("x", 111.0)


def test_successes_are_not_kept() -> None:
    """One that works leaves no state; what is unknown may be called at once."""
    breakers = after_failures(EngineUnavailable("gone"), times=4)
    breakers.succeeded("x", 100.0)
    breakers.succeeded("y", 100.0)
    breakers.started("z", 100.0)
    breakers.failed("x", EngineUnavailable("gone"), 100.0)
    assert breakers.allows("x", 100.0)
    assert breakers.retry_after_s("unknown", 100.0) == 0.0
    breakers.succeeded("x", 100.0)
    assert breakers.closed_to(100.0) == {}


def test_replicas_that_are_gone_are_forgotten() -> None:
    """Their ids never come back."""
    breakers = after_failures(EngineUnavailable("gone"), times=5)
    breakers.keep_only(["x", "y"])
    assert not breakers.allows("x", 100.0)
    breakers.keep_only(["y"])
    assert breakers.allows("x", 100.0)


@pytest.mark.parametrize("error", [EngineUnavailable("cut"), UpstreamTimeout("connect", 1.0)], ids=str)
def test_a_connection_that_breaks_counts_once(error: UpstreamError) -> None:
    """However many calls it carried; those begun after it count again, and errors of the work always do."""
    breakers = Breakers()
    for _ in range(20):
        breakers.failed("r", error, 10.0, started_s=9.0)
    assert breakers.allows("r", 10.0)
    for second in range(11, 15):
        breakers.failed("r", error, second + 0.5, started_s=float(second))
    assert not breakers.allows("r", 15.0)
    for _ in range(5):
        breakers.failed("s", UpstreamRejected(500, b""), 10.0, started_s=9.0)
    assert not breakers.allows("s", 10.0)
    breakers.keep_only(["s"])
    assert breakers.allows("r", 15.0)
