"""One upstream call and one row for one Idempotency-Key, however often the request comes and whoever leaves."""

from __future__ import annotations

import asyncio

import pytest

from controller.core.errors import EngineUnavailable
from controller.gateway.idempotent_answers import KEPT_S
from tests.gateway.gateway_world import DONE, EVENT, LAST, USAGE, Answer, Heard, World, stream, whole
from tests.gateway.jumping_loop import jumping
from tests.gateway.keyed_requests import REPLAY, ask, keyed, later

SERVED = [EVENT, LAST, USAGE, DONE]


def _same(one: Heard, other: Heard) -> None:
    """Status, body and headers, but for the mark of a repetition."""
    assert (one.status, one.body) == (other.status, other.body)
    assert one.headers == {name: value for name, value in other.headers.items() if name != REPLAY}
    assert one.ended
    assert other.ended


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_ten_copies_at_once_are_one_call(streamed: bool) -> None:
    """One upstream call, one row in the books; nine hear the same answer and that it is a repetition."""
    made = stream(EVENT, 1.0, EVENT, LAST, USAGE, DONE) if streamed else whole(head_after_s=1.0)
    world = World()
    world.own.script = [made]

    async def run() -> list[Heard]:
        return await asyncio.gather(*(ask(world, {"stream": streamed}) for _ in range(10)))

    heard = jumping(run())
    assert len(world.own.calls) == 1
    assert len(world.ledger.posted) == 1
    assert sorted(REPLAY in one.headers for one in heard) == [False] + [True] * 9
    first = next(one for one in heard if REPLAY not in one.headers)
    for one in heard:
        _same(first, one)
    assert first.status == 200
    assert not streamed or first.body.endswith(b"data: [DONE]\n\n")
    assert world.gateway.metrics.idempotent == {"first": 1, "replayed": 9}
    assert world.gateway.metrics.in_flight == 0


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_a_later_copy_hears_the_recording(streamed: bool) -> None:
    """Minutes later the same answer comes at once; after its time the key is new."""
    world = World()
    made = [stream(*SERVED) if streamed else whole() for _ in range(2)]
    world.own.script = list(made)

    async def run() -> tuple[Heard, Heard, Heard]:
        first = await ask(world, {"stream": streamed})
        again = await later(ask(world, {"stream": streamed}), KEPT_S - 1)
        anew = await later(ask(world, {"stream": streamed}), 2)
        return first, again, anew

    first, again, anew = jumping(run())
    _same(first, again)
    assert again.headers[REPLAY] == "true"
    assert REPLAY not in anew.headers
    assert len(world.own.calls) == len(world.ledger.posted) == 2


def test_a_joiner_of_a_stream_hears_it_from_its_beginning() -> None:
    """Who comes in the middle gets what was said and then goes along."""
    world = World()
    world.own.script = [stream(EVENT, 5.0, EVENT, 5.0, LAST, USAGE, DONE)]

    async def run() -> tuple[Heard, Heard]:
        return await asyncio.gather(ask(world, {"stream": True}), later(ask(world, {"stream": True}), 6.0))

    first, joined = jumping(run())
    _same(first, joined)
    assert joined.took_s == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_the_first_caller_may_leave(streamed: bool) -> None:
    """The others hear all of it, and who left hears it when it comes back; nothing is called or billed twice."""
    world = World()
    world.own.script = [stream(EVENT, 5.0, LAST, USAGE, DONE) if streamed else whole(head_after_s=5.0)]

    async def run() -> tuple[Heard, Heard, Heard]:
        fields = {"stream": streamed}
        gone, stays = await asyncio.gather(ask(world, fields, leaves_after_s=1.0), later(ask(world, fields), 0.5))
        return gone, stays, await ask(world, fields)

    gone, stays, back = jumping(run())
    assert not gone.ended
    assert stays.status == back.status == 200
    assert stays.body == back.body
    (row,) = world.ledger.posted
    assert row.status == 200
    assert len(world.own.calls) == 1


def test_nobody_left_to_listen_is_no_reason_to_stop() -> None:
    """A caller that times out and comes back finds the answer it has paid for."""
    world = World()
    world.own.script = [whole(head_after_s=30.0)]

    async def run() -> Heard:
        await ask(world, leaves_after_s=1.0)
        return await later(ask(world), 60.0)

    back = jumping(run())
    assert back.status == 200
    assert back.headers[REPLAY] == "true"
    assert len(world.own.calls) == 1


def test_another_request_under_the_key_is_refused() -> None:
    """422, while the first is under way and after it; the key of another tenant or another path is another key."""
    world = World()
    world.own.script = [whole(head_after_s=1.0)]

    async def run() -> tuple[Heard, Heard, Heard]:
        first, during = await asyncio.gather(ask(world), later(ask(world, {"seed": 1}), 0.5))
        return first, during, await ask(world, {"seed": 2})

    first, during, after = jumping(run())
    assert first.status == 200
    for refused in (during, after):
        assert refused.status == 422
        assert refused.error["code"] == "idempotency_key_reused"
        assert refused.headers["x-should-retry"] == "false"
    assert len(world.own.calls) == 1


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        pytest.param(Answer(pieces=[b"{}"], status=503), 429, id="full"),
        pytest.param(EngineUnavailable("refused"), 503, id="gone"),
    ],
)
def test_a_failure_that_may_pass_frees_the_key(failure: Answer | Exception, status: int) -> None:
    """Who was told to come back is served under the same key, and every copy heard the failure."""
    world = World()
    world.own.script = [failure, whole()]
    headers = [*keyed(), (b"x-spillway-spill", b"never")]

    async def run() -> tuple[list[Heard], Heard]:
        copies = await asyncio.gather(*(world.ask(headers=headers) for _ in range(3)))
        await asyncio.sleep(30)
        again = await world.ask(headers=headers)
        await asyncio.sleep(1)  # the claim is settled once the answer is out
        return copies, again

    copies, again = jumping(run())
    assert [copy.status for copy in copies] == [status] * 3
    assert again.status == 200
    assert REPLAY not in again.headers
    assert [finished for _, _, finished, _ in world.claims.rows.values()] == [True]


def test_a_stream_that_broke_after_its_first_byte_is_the_answer() -> None:
    """It was paid for: the copy hears the same events and the same error event."""
    world = World()
    world.own.script = [stream(EVENT, EngineUnavailable("cut"))]

    async def run() -> tuple[Heard, Heard]:
        return await ask(world, {"stream": True}), await ask(world, {"stream": True})

    first, again = jumping(run())
    _same(first, again)
    assert b'"error"' in first.body
    assert len(world.own.calls) == 1


def test_a_refusal_of_the_request_itself_is_repeated() -> None:
    """A 404 is the same each time, in the same words, and its request id too."""
    world = World()

    async def run() -> tuple[Heard, Heard]:
        return await ask(world, {"model": "gpt-9"}), await ask(world, {"model": "gpt-9"})

    first, again = jumping(run())
    _same(first, again)
    assert first.status == 404


def test_the_books_are_closed_before_the_gateway_is() -> None:
    """An answer nobody listens to any more ends with the gateway, and stands in the ledger."""
    world = World()
    world.own.script = [whole(head_after_s=300.0)]

    async def run() -> None:
        await ask(world, leaves_after_s=1.0)
        await world.gateway.aclose()

    jumping(run())
    assert len(world.ledger.posted) == 1
    assert world.gateway.metrics.in_flight == 0


def test_requests_without_the_header_never_come_here() -> None:
    """Two equal requests without a key are two calls."""
    world = World()
    world.own.script = [whole(), whole()]

    async def run() -> None:
        await world.ask()
        await world.ask()

    jumping(run())
    assert len(world.own.calls) == 2
    assert world.gateway.metrics.idempotent == {}
    assert world.claims.rows == {}
