"""The bounds of Idempotency-Key: what is a key and who may use it, other gateways, memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.gateway import idempotent_answers
from tests.gateway.gateway_builders import MemoryClaims
from tests.gateway.gateway_world import DONE, EVENT, LAST, USAGE, Heard, World, stream, whole
from tests.gateway.jumping_loop import jumping
from tests.gateway.keyed_requests import REPLAY, ask, later


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"caf\xc3\xa9", b"a\tb"], ids=["empty", "long", "accent", "tab"])
def test_what_is_no_key_is_refused(key: bytes) -> None:
    """400 with the rule, before anything is bought."""
    world = World()
    heard = jumping(ask(world, key=key))
    assert heard.status == 400
    assert heard.error["code"] == "invalid_idempotency_key"
    assert "1 to 255" in str(heard.error["message"])


def test_the_longest_key_is_one() -> None:
    """255 printable characters, blanks among them."""
    world = World()
    world.own.script = [whole()]
    assert jumping(ask(world, key=(b"a b" * 85))).status == 200


def test_without_a_valid_api_key_nothing_is_told() -> None:
    """A stranger who knows the Idempotency-Key hears 401, not the answer."""
    world = World()
    world.own.script = [whole()]

    async def run() -> Heard:
        await ask(world)
        return await world.ask(headers=[(b"authorization", b"Bearer sp-x-y"), (b"idempotency-key", b"order-1")])

    assert jumping(run()).status == 401


@pytest.mark.parametrize(
    ("options", "status"),
    [({"body": b"x" * (11 * 1024 * 1024)}, 413), ({"body_after_s": 60.0}, 408)],
    ids=["too large", "too late"],
)
def test_bodies_are_bounded_here_too(options: dict[str, Any], status: int) -> None:
    """The caps of every request hold before the key is looked at."""
    assert jumping(ask(World(), **options)).status == status


@pytest.mark.parametrize("same", [True, False], ids=["same request", "another request"])
def test_a_second_gateway_does_not_pay_twice(same: bool) -> None:
    """While one answers the other says to come back, after it not to; and of another request to take another key."""
    claims = MemoryClaims()
    one, two = World(claims=claims), World(claims=claims)
    one.own.script = [whole(head_after_s=5.0)]

    async def run() -> tuple[Heard, Heard, Heard]:
        fields = {} if same else {"seed": 1}
        first, during = await asyncio.gather(ask(one), later(ask(two, fields), 1.0))
        return first, during, await ask(two, fields)

    first, during, after = jumping(run())
    assert first.status == 200
    assert [refused.status for refused in (during, after)] == ([409] * 2 if same else [422] * 2)
    codes = ["idempotency_in_progress", "idempotency_answered"] if same else ["idempotency_key_reused"] * 2
    assert [refused.error["code"] for refused in (during, after)] == codes
    assert ("retry-after" in during.headers, "retry-after" in after.headers) == (same, False)
    assert after.headers["x-should-retry"] == "false"
    assert two.own.calls == []
    assert two.ledger.posted == []


def test_without_the_database_each_gateway_still_answers_once() -> None:
    """What costs money is closed then anyway; own pools go on, and copies here still are one call."""
    world = World(claims=MemoryClaims(down=True))
    world.own.script = [whole()]

    async def run() -> list[Heard]:
        return [await ask(world) for _ in range(3)]

    assert [heard.status for heard in jumping(run())] == [200] * 3
    assert len(world.own.calls) == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers go first; their keys stay taken, so nothing is paid twice."""
    monkeypatch.setattr(idempotent_answers, "KEPT_ANSWERS", 2)
    world = World()
    world.own.script = [whole() for _ in range(3)]

    async def run() -> list[Heard]:
        for number in range(3):
            await ask(world, key=b"order-%d" % number)
        return [await ask(world, key=b"order-%d" % number) for number in (2, 1, 0)]

    last, middle, oldest = jumping(run())
    assert REPLAY in last.headers
    assert REPLAY in middle.headers
    assert oldest.error["code"] == "idempotency_answered"
    assert len(world.own.calls) == 3


def test_a_long_answer_is_heard_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who listens hears all of it, a slow one too; who comes later is refused rather than served half."""
    monkeypatch.setattr(idempotent_answers, "ANSWER_BYTES", len(EVENT) * 3)
    world = World()
    world.own.script = [stream(*[EVENT] * 20, 5.0, *[EVENT] * 20, LAST, USAGE, DONE)]

    async def run() -> tuple[Heard, Heard, Heard]:
        fields = {"stream": True}
        first, joined = await asyncio.gather(ask(world, fields), later(ask(world, fields), 2.0))
        return first, joined, await ask(world, fields)

    first, joined, refused_later = jumping(run())
    assert first.ended
    assert first.body.count(b'"Hi"') == 40
    assert [one.error["code"] for one in (joined, refused_later)] == ["idempotency_in_progress", "idempotency_answered"]
    assert len(world.own.calls) == 1
