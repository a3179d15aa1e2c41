"""How long a request may take: the body, the first token, the whole answer, the caller's own deadline, the drain."""

from __future__ import annotations

import asyncio

import pytest

from controller.gateway.request_body import BODY_S
from tests.gateway.gateway_world import BEARER, COMPLETION, DONE, EVENT, LAST, World, stream, whole
from tests.gateway.jumping_loop import jumping

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
    """The SDK's read timeout, and a second more, is all that anybody waits for."""
    world = World()
    world.own.script = [whole(head_after_s=10_000)]
    heard = world.heard(headers=HEADERS)
    assert (heard.status, heard.error["code"]) == (504, "total_timeout")
    assert heard.took_s == pytest.approx(8, abs=0.1)


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
    world.external.script = [stream(50.0, EVENT, LAST, DONE)]
    heard = world.heard({"stream": True})
    assert (heard.status, heard.body) == (200, EVENT + LAST + DONE)
    assert heard.headers["x-spillway-spilled"] == "failed"
    assert heard.took_s == pytest.approx(52.5, abs=0.6)
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
