"""How long a request may take: the body, the first token, the whole answer, the caller's own deadline, the drain."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.gateway_world import BEARER, COMPLETION, DONE, EVENT, LAST, SETTINGS, World, stream, whole
from tests.gateway.jumping_loop import jumping

BODY_S = SETTINGS.gateway.timeouts.body_s
HEADERS = [BEARER, (b"x-stainless-read-timeout", b"7")]


def test_a_whole_answer_may_take_longer_than_the_body_of_its_request() -> None:
    """Each phase has its own time: an engine that thinks for minutes is waited for."""
    world = World()
    world.own.script = [whole(head_after_s=10 * BODY_S)]
    heard = world.heard()
    assert (heard.status, heard.body) == (200, COMPLETION)
    assert heard.took_s == pytest.approx(10 * BODY_S)
    assert [entry.status for entry in world.ledger.posted] == [200]


def test_a_whole_answer_may_not_take_longer_than_the_request() -> None:
    """504 after the total time, and no other target is asked then."""
    world = World()
    world.own.script = [whole(head_after_s=10_000)]
    heard = world.heard()
    assert (heard.status, heard.error["code"]) == (504, "total_timeout")
    assert heard.took_s == pytest.approx(600, abs=0.1)
    assert world.external.calls == []


def test_the_callers_deadline_ends_a_whole_answer() -> None:
    """The SDK's read timeout is all that anybody waits for, and its caller hears so before it hangs up."""
    world = World()
    world.own.script = [whole(head_after_s=10_000)]
    heard = world.heard(headers=HEADERS)
    assert (heard.status, heard.error["code"]) == (504, "deadline_timeout")
    assert 6.8 < heard.took_s < 7.0
    assert world.external.calls == []


def test_the_callers_deadline_is_between_bytes_of_a_stream() -> None:
    """A stream may take longer than it in all."""
    world = World()
    world.own.script = [stream(EVENT, 30.0, EVENT, 30.0, LAST, DONE)]
    heard = world.heard({"stream": True}, headers=HEADERS)
    assert (heard.status, heard.body) == (200, EVENT + EVENT + LAST + DONE)


def test_a_slow_body() -> None:
    """408 after half a minute; the caller may try again."""
    heard = World().heard(body_after_s=10_000)
    assert (heard.status, heard.error["code"]) == (408, "body_timeout")
    assert heard.headers["x-should-retry"] == "true"
    assert heard.took_s == pytest.approx(BODY_S, abs=0.1)


def test_a_late_first_token() -> None:
    """Nothing comes out of the only replica for longer than predicted: the next target is tried, with its own time."""
    world = World()
    world.own.script = [stream(10_000.0)]
    world.external.script = [stream(15.0, EVENT, LAST, DONE)]
    heard = world.heard({"stream": True})
    assert (heard.status, heard.body) == (200, EVENT + LAST + DONE)
    assert heard.headers["x-spillway-spilled"] == "failed"
    assert heard.took_s == pytest.approx(17.5, abs=0.6)
    assert "progress timeout" in world.ledger.posted[0].attempts[0].outcome


def test_a_late_first_token_with_nowhere_else_to_go() -> None:
    """Whoever has only this replica waits for it up to the TTFT limit."""
    world = World()
    world.own.script = [stream(10_000.0)]
    heard = world.heard({"stream": True}, headers=(BEARER, (b"x-spillway-spill", b"never")))
    assert (heard.status, heard.error["code"]) == (504, "ttft_timeout")
    assert heard.took_s == pytest.approx(60, abs=0.1)


def test_a_stream_that_stops() -> None:
    """After its first byte it ends with an error event, never elsewhere, and without [DONE]."""
    world = World()
    world.own.script = [stream(EVENT, 10_000.0)]
    heard = world.heard({"stream": True})
    assert heard.status == 200
    assert heard.ended
    assert heard.body.startswith(EVENT + b'data: {"error":{')
    assert b'"code":"idle_timeout"' in heard.body
    assert DONE not in heard.body
    assert world.external.calls == []


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_the_drain_deadline(streamed: bool) -> None:
    """Open answers end with an error that says so."""

    async def main() -> None:
        world = World()
        world.own.script = [stream(EVENT, 100.0, DONE) if streamed else whole(head_after_s=100)]
        asked = asyncio.create_task(world.ask({"stream": streamed}))
        await asyncio.sleep(5)
        world.gateway.drain()
        assert world.gateway.abort() == 1
        heard = await asked
        assert b'"code":"drain_timeout"' in heard.body
        assert heard.status == (200 if streamed else 504)
        assert heard.took_s == pytest.approx(5, abs=0.1)
        assert world.gateway.metrics.in_flight == 0

    jumping(main())


def deadline(milliseconds: int) -> list[tuple[bytes, bytes]]:
    """The header that bounds the whole answer."""
    return [BEARER, (b"x-spillway-deadline-ms", b"%d" % milliseconds)]


def test_a_deadline_for_the_whole_answer() -> None:
    """504 when it passes, without another try: there is no time for one."""
    world = World()
    world.own.script = [whole(head_after_s=100)]
    heard = world.heard(headers=deadline(3000))
    assert (heard.status, heard.error["code"]) == (504, "deadline_timeout")
    assert heard.took_s == pytest.approx(3.0, abs=0.01)
    assert world.external.calls == []


def test_a_deadline_ends_a_stream_too() -> None:
    """With an error event and without [DONE], at the deadline."""
    world = World()
    world.own.script = [stream(EVENT, 2.0, EVENT, 2.0, EVENT, DONE)]
    heard = world.heard({"stream": True}, headers=deadline(3000))
    assert heard.status == 200
    assert heard.body.count(EVENT) == 2
    assert b'"code":"deadline_timeout"' in heard.body
    assert DONE not in heard.body
    assert heard.took_s == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(
    "headers", [[BEARER, (b"x-stainless-read-timeout", b"2")], deadline(2000)], ids=["read timeout", "deadline"]
)
def test_a_first_token_by_the_deadline(headers: list[tuple[bytes, bytes]]) -> None:
    """A stream that has not begun by then ends with 504, and nobody else is asked."""
    world = World()
    world.own.script = [stream(100.0, EVENT, DONE)]
    heard = world.heard({"stream": True}, headers=headers)
    assert (heard.status, heard.error["code"]) == (504, "deadline_timeout")
    assert 1.95 < heard.took_s <= 2.01
    assert world.external.calls == []


def test_a_deadline_is_no_failure_of_the_engine() -> None:
    """Callers in a hurry do not take a replica out of rotation."""
    world = World()
    world.own.script = [whole(head_after_s=100) for _ in range(8)]
    for _ in range(8):
        assert world.heard(headers=deadline(1000)).status == 504
    assert world.gateway.breakers.closed_to(1e9) == {}
    assert len(world.own.calls) == 8


def test_a_deadline_that_nobody_can_meet() -> None:
    """Refused at once, by the prediction and the planning figures; nobody is asked."""
    world = World()
    heard = world.heard({"messages": [{"role": "user", "content": "x" * 8_000}]}, headers=deadline(100))
    assert (heard.status, heard.error["code"], heard.took_s) == (504, "deadline_unreachable", 0.0)
    assert world.own.calls == world.external.calls == []


def test_a_cost_that_nobody_may_pass() -> None:
    """400 that is not repeated, when only dearer targets are left; own pools are never too dear."""
    cap = [BEARER, (b"x-spillway-max-cost-usd", b"0.000001")]
    world = World()
    heard = world.heard({"model": "gpt-4o"}, headers=cap)
    assert (heard.status, heard.error["code"], heard.headers["x-should-retry"]) == (400, "max_cost_exceeded", "false")
    assert heard.error["param"] == "x-spillway-max-cost-usd"
    assert world.external.calls == []
    world.own.script = [whole()]
    assert world.heard(headers=cap).status == 200


def test_repetitions_of_callers_are_counted() -> None:
    """The first, the second, and all later ones."""
    world = World()
    world.own.script = [whole() for _ in range(6)]
    for count in (b"0", b"1", b"1", b"2", b"3", b"77"):
        world.heard(headers=[BEARER, (b"x-stainless-retry-count", count)])
    assert world.gateway.metrics.client_retries == [2, 1, 2]
