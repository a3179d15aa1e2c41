"""One upstream call and one row for one Idempotency-Key, however often the request comes and whoever leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from controller.core.errors import EngineUnavailable
from controller.gateway import idempotent_answers
from controller.gateway.idempotent_answers import KEPT_S
from tests.gateway.gateway_builders import MemoryClaims
from tests.gateway.gateway_world import BEARER, DONE, EVENT, LAST, USAGE, Answer, Heard, World, stream, whole
from tests.gateway.jumping_loop import jumping

REPLAY = "x-spillway-idempotent-replay"
SERVED = [EVENT, LAST, USAGE, DONE]


def _keyed(key: bytes = b"order-1") -> list[tuple[bytes, bytes]]:
    return [BEARER, (b"idempotency-key", key)]


def _ask(world: World, fields: object = None, *, key: bytes = b"order-1", **options: Any) -> Coroutine[Any, Any, Heard]:
    return world.ask(fields, headers=_keyed(key), **options)


def _same(one: Heard, other: Heard) -> None:
    """Status, body and headers, but for the mark of a repetition."""
    assert (one.status, one.body) == (other.status, other.body)
    assert one.headers == {name: value for name, value in other.headers.items() if name != REPLAY}
    assert one.ended
    assert other.ended


async def _later(heard: Coroutine[Any, Any, Heard], after_s: float) -> Heard:
    await asyncio.sleep(after_s)
    return await heard


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_ten_copies_at_once_are_one_call(streamed: bool) -> None:
    """One upstream call, one row in the books; nine hear the same answer and that it is a repetition."""
    made = stream(EVENT, 1.0, EVENT, LAST, USAGE, DONE) if streamed else whole(head_after_s=1.0)
    world = World()
    world.own.script = [made]

    async def run() -> list[Heard]:
        return await asyncio.gather(*(_ask(world, {"stream": streamed}) for _ in range(10)))

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
        first = await _ask(world, {"stream": streamed})
        again = await _later(_ask(world, {"stream": streamed}), KEPT_S - 1)
        anew = await _later(_ask(world, {"stream": streamed}), 2)
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
        return await asyncio.gather(_ask(world, {"stream": True}), _later(_ask(world, {"stream": True}), 6.0))

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
        gone, stays = await asyncio.gather(_ask(world, fields, leaves_after_s=1.0), _later(_ask(world, fields), 0.5))
        return gone, stays, await _ask(world, fields)

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
        await _ask(world, leaves_after_s=1.0)
        return await _later(_ask(world), 60.0)

    back = jumping(run())
    assert back.status == 200
    assert back.headers[REPLAY] == "true"
    assert len(world.own.calls) == 1


def test_another_request_under_the_key_is_refused() -> None:
    """422, while the first is under way and after it; the key of another tenant or another path is another key."""
    world = World()
    world.own.script = [whole(head_after_s=1.0)]

    async def run() -> tuple[Heard, Heard, Heard]:
        first, during = await asyncio.gather(_ask(world), _later(_ask(world, {"seed": 1}), 0.5))
        return first, during, await _ask(world, {"seed": 2})

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
    headers = [*_keyed(), (b"x-spillway-spill", b"never")]

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
        return await _ask(world, {"stream": True}), await _ask(world, {"stream": True})

    first, again = jumping(run())
    _same(first, again)
    assert b'"error"' in first.body
    assert len(world.own.calls) == 1


def test_a_refusal_of_the_request_itself_is_repeated() -> None:
    """A 404 is the same each time, in the same words, and its request id too."""
    world = World()

    async def run() -> tuple[Heard, Heard]:
        return await _ask(world, {"model": "gpt-9"}), await _ask(world, {"model": "gpt-9"})

    first, again = jumping(run())
    _same(first, again)
    assert first.status == 404


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"caf\xc3\xa9", b"a\tb"], ids=["empty", "long", "accent", "tab"])
def test_what_is_no_key_is_refused(key: bytes) -> None:
    """400 with the rule, before anything is bought."""
    world = World()
    heard = jumping(_ask(world, key=key))
    assert heard.status == 400
    assert heard.error["code"] == "invalid_idempotency_key"
    assert "1 to 255" in str(heard.error["message"])


def test_the_longest_key_is_one() -> None:
    """255 printable characters, blanks among them."""
    world = World()
    world.own.script = [whole()]
    assert jumping(_ask(world, key=(b"a b" * 85))).status == 200


def test_without_a_valid_api_key_nothing_is_told() -> None:
    """A stranger who knows the Idempotency-Key hears 401, not the answer."""
    world = World()
    world.own.script = [whole()]

    async def run() -> Heard:
        await _ask(world)
        return await world.ask(headers=[(b"authorization", b"Bearer sp-x-y"), (b"idempotency-key", b"order-1")])

    assert jumping(run()).status == 401


@pytest.mark.parametrize(
    ("options", "status"),
    [({"body": b"x" * (11 * 1024 * 1024)}, 413), ({"body_after_s": 60.0}, 408)],
    ids=["too large", "too late"],
)
def test_bodies_are_bounded_here_too(options: dict[str, Any], status: int) -> None:
    """The caps of every request hold before the key is looked at."""
    assert jumping(_ask(World(), **options)).status == status


@pytest.mark.parametrize("same", [True, False], ids=["same request", "another request"])
def test_a_second_gateway_does_not_pay_twice(same: bool) -> None:
    """While one answers, and after it, the other refuses: come back, or take another key."""
    claims = MemoryClaims()
    one, two = World(claims=claims), World(claims=claims)
    one.own.script = [whole(head_after_s=5.0)]

    async def run() -> tuple[Heard, Heard, Heard]:
        fields = {} if same else {"seed": 1}
        first, during = await asyncio.gather(_ask(one), _later(_ask(two, fields), 1.0))
        return first, during, await _ask(two, fields)

    first, during, after = jumping(run())
    assert first.status == 200
    for refused in (during, after):
        assert refused.status == (409 if same else 422)
        assert refused.error["code"] == ("idempotency_in_progress" if same else "idempotency_key_reused")
        assert ("retry-after" in refused.headers) is same
    assert two.own.calls == []
    assert two.ledger.posted == []


def test_without_the_database_each_gateway_still_answers_once() -> None:
    """What costs money is closed then anyway; own pools go on, and copies here still are one call."""
    world = World(claims=MemoryClaims(down=True))
    world.own.script = [whole()]

    async def run() -> list[Heard]:
        return [await _ask(world) for _ in range(3)]

    assert [heard.status for heard in jumping(run())] == [200] * 3
    assert len(world.own.calls) == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers go first; their keys stay taken, so nothing is paid twice."""
    monkeypatch.setattr(idempotent_answers, "KEPT_ANSWERS", 2)
    world = World()
    world.own.script = [whole() for _ in range(3)]

    async def run() -> list[Heard]:
        for number in range(3):
            await _ask(world, key=b"order-%d" % number)
        return [await _ask(world, key=b"order-%d" % number) for number in (2, 1, 0)]

    last, middle, oldest = jumping(run())
    assert REPLAY in last.headers
    assert REPLAY in middle.headers
    assert oldest.error["code"] == "idempotency_in_progress"
    assert len(world.own.calls) == 3


def test_a_long_answer_is_heard_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who listens hears all of it, a slow one too; who comes later is refused rather than served half."""
    monkeypatch.setattr(idempotent_answers, "ANSWER_BYTES", len(EVENT) * 3)
    world = World()
    world.own.script = [stream(*[EVENT] * 20, 5.0, *[EVENT] * 20, LAST, USAGE, DONE)]

    async def run() -> tuple[Heard, Heard, Heard]:
        fields = {"stream": True}
        first, joined = await asyncio.gather(_ask(world, fields), _later(_ask(world, fields), 2.0))
        return first, joined, await _ask(world, fields)

    first, joined, later = jumping(run())
    assert first.ended
    assert first.body.count(b'"Hi"') == 40
    for refused in (joined, later):
        assert refused.error["code"] == "idempotency_in_progress"
    assert len(world.own.calls) == 1


def test_the_books_are_closed_before_the_gateway_is() -> None:
    """An answer nobody listens to any more ends with the gateway, and stands in the ledger."""
    world = World()
    world.own.script = [whole(head_after_s=300.0)]

    async def run() -> None:
        await _ask(world, leaves_after_s=1.0)
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
