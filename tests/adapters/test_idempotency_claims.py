"""Claims on Idempotency-Keys, alike on SQLite and PostgreSQL: whoever asks at once, one gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from controller.adapters.database import open_database
from controller.adapters.database_tables import idempotency_key
from controller.adapters.idempotency_claims import IdempotencyClaims
from controller.core.idempotency import Claim, ClaimsUnavailable

KEY, DIGEST, OTHER = b"k" * 32, b"d" * 32, b"o" * 32
NOW_S, LATER_S = 1_000.0, 1_600.0


@pytest.fixture
def two(place: Path | str) -> Iterator[tuple[IdempotencyClaims, IdempotencyClaims]]:
    """Two gateways on one database."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(closing(IdempotencyClaims(place))) for _ in range(2))
        yield one, other


async def _claim(claims: IdempotencyClaims, nonce: bytes, *, digest: bytes = DIGEST, now_s: float = NOW_S) -> Claim:
    return await claims.claim(KEY, digest, nonce, now_s=now_s, expires_at_s=now_s + 600.0)


def test_one_of_two_answers(two: tuple[IdempotencyClaims, IdempotencyClaims]) -> None:
    """The other is told whether it is the same request; once its time has passed the key is free."""
    one, other = two

    async def run() -> None:
        assert await _claim(one, b"1") is Claim.GRANTED
        assert await _claim(other, b"2") is Claim.TAKEN
        assert await _claim(other, b"3", digest=OTHER) is Claim.REUSED
        assert await _claim(other, b"4", digest=OTHER, now_s=LATER_S) is Claim.GRANTED
        assert await _claim(one, b"5", now_s=LATER_S) is Claim.REUSED

    asyncio.run(run())


def test_an_answered_key_is_taken_for_all(two: tuple[IdempotencyClaims, IdempotencyClaims]) -> None:
    """Also for the gateway that answered it, from the end of the answer on."""
    one, other = two

    async def run() -> None:
        assert await _claim(one, b"1") is Claim.GRANTED
        await one.finish(KEY, b"1", expires_at_s=NOW_S + 1_000.0)
        for claims in two:
            assert await _claim(claims, b"2", now_s=NOW_S + 999.0) is Claim.ANSWERED
        assert await _claim(other, b"3", now_s=NOW_S + 1_000.0) is Claim.GRANTED

    asyncio.run(run())


def test_a_released_key_is_free(two: tuple[IdempotencyClaims, IdempotencyClaims]) -> None:
    """At once and for all; a release that comes late does not touch a newer claim."""
    one, other = two

    async def run() -> None:
        assert await _claim(one, b"1") is Claim.GRANTED
        assert await _claim(one, b"2") is Claim.GRANTED  # its own, not finished: a retry right after the failure
        await one.release(KEY, b"1")
        assert await _claim(other, b"3") is Claim.TAKEN
        await one.release(KEY, b"2")
        assert await _claim(other, b"4") is Claim.GRANTED

    asyncio.run(run())


def test_of_many_at_once_one_gets_it(place: Path | str) -> None:
    """Eight gateways, one key, all together."""
    with ExitStack() as stack:
        gateways = [stack.enter_context(closing(IdempotencyClaims(place))) for _ in range(8)]

        async def run() -> list[Claim]:
            return await asyncio.gather(*(_claim(claims, bytes([at])) for at, claims in enumerate(gateways)))

        assert sorted(claim.value for claim in asyncio.run(run())) == ["granted"] + ["taken"] * 7


def test_rows_go_when_their_time_has_passed(place: Path | str) -> None:
    """The table does not grow for ever."""
    engine = open_database(place)
    with closing(IdempotencyClaims(place)) as claims:

        async def run() -> None:
            for number in range(5):
                await claims.claim(bytes([number]), DIGEST, b"n", now_s=NOW_S, expires_at_s=LATER_S)
            await claims.claim(b"last", DIGEST, b"n", now_s=LATER_S, expires_at_s=LATER_S + 1)

        asyncio.run(run())
    with engine.connect() as connection:
        assert [row.key for row in connection.execute(idempotency_key.select())] == [b"last"]
    engine.dispose()


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """As the error that the gateway knows, not as the database's own."""
    (tmp_path / "spillway.db").mkdir()
    with closing(IdempotencyClaims(tmp_path / "spillway.db")) as claims, pytest.raises(ClaimsUnavailable):
        asyncio.run(_claim(claims, b"1"))
