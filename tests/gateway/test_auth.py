"""Who is calling: one key, refused alike however it is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import RequestError
from controller.gateway.auth import REMEMBERED_KEYS, Doorman, authenticate
from tests.gateway.gateway_builders import KEY, SECRET, MemoryKeys

GOOD = f"Bearer sp-{KEY.public_id}-{SECRET}".encode()
REVOKED = MemoryKeys({KEY.public_id: replace(KEY, revoked_at_s=1.0)})


@pytest.mark.parametrize(
    "header", [GOOD, GOOD.replace(b"Bearer", b"bEARER"), GOOD.replace(b" ", b"   "), GOOD + b" "], ids=repr
)
def test_a_good_key(header: bytes) -> None:
    """Its record, whatever the case of the scheme and the spaces around the key."""
    assert authenticate(header, MemoryKeys()) is KEY


WRONG = {
    "wrong secret": GOOD + b"x",
    "no secret": f"Bearer sp-{KEY.public_id}".encode(),
    "unknown id": b"Bearer sp-nobody-s3cret",
    "another prefix": GOOD.replace(b"sp-", b"sk-"),
    "another scheme": GOOD.replace(b"Bearer", b"Basic"),
    "only the key": GOOD.removeprefix(b"Bearer "),
    "only the scheme": b"Bearer",
    "quotes": b"Bearer ' OR 1=1 --",
    "NUL": b"Bearer sp-\x00-\x00",
    "not ASCII": b"Bearer sp-\xff\xfe-\xff",
    "a megabyte": b"Bearer sp-abc-" + b"x" * 1_000_000,
    "two keys": GOOD + b", " + GOOD,
}


def refusal(header: bytes | None, keys: MemoryKeys | None = None) -> tuple[str, int, str, bool | None]:
    """What the caller is told."""
    with pytest.raises(RequestError) as caught:
        authenticate(header, keys or MemoryKeys())
    return caught.value.message, caught.value.status, caught.value.code, caught.value.should_retry


@pytest.mark.parametrize("header", WRONG.values(), ids=WRONG.keys())
def test_wrong_keys_are_refused_alike(header: bytes) -> None:
    """Unknown, wrong and revoked keys get the very same answer, and none of it is the key."""
    assert refusal(header) == refusal(GOOD, REVOKED)
    assert refusal(header)[1:] == (401, "invalid_api_key", False)


@pytest.mark.parametrize("header", [None, b""], ids=["none", "empty"])
def test_no_key_says_how_to_get_one(header: bytes | None) -> None:
    """The message has the header and the command."""
    message, status, code, _ = refusal(header)
    assert (status, code) == (401, "invalid_api_key")
    assert "Authorization: Bearer sp-" in message
    assert "spillway keys create" in message


@given(st.binary(max_size=60) | st.builds(lambda tail: b"Bearer sp-abc-" + tail, st.binary(max_size=20)))
def test_no_other_bytes_are_let_in(header: bytes) -> None:
    """Any header is refused with 401, unless it is the key."""
    if header.strip() != GOOD:
        assert refusal(header)[1] == 401


def _admitted(doorman: Doorman, header: bytes | None) -> str:
    try:
        return doorman.admit(header).name
    except RequestError as error:
        return error.code


def test_a_remembered_key_is_good_until_its_record_changes() -> None:
    """Revoked, it is refused at once; made anew under its id with another secret, the old one is refused."""
    records = {KEY.public_id: KEY}
    doorman = Doorman(MemoryKeys(records))
    assert [_admitted(doorman, GOOD), _admitted(doorman, GOOD)] == ["app", "app"]
    for changed in (replace(KEY, revoked_at_s=1.0), replace(KEY, digest=bytes(32))):
        records[KEY.public_id] = changed
        assert _admitted(doorman, GOOD) == "invalid_api_key"
    records[KEY.public_id] = KEY
    assert _admitted(doorman, GOOD) == "app"
    del records[KEY.public_id]
    assert _admitted(doorman, GOOD) == "invalid_api_key"


@pytest.mark.parametrize("header", [*WRONG.values(), None, b""], ids=[*WRONG, "none", "empty"])
def test_who_was_refused_is_not_remembered(header: bytes | None) -> None:
    """A wrong key is wrong again, whoever was let in before."""
    doorman = Doorman(MemoryKeys())
    doorman.admit(GOOD)
    assert [_admitted(doorman, header), _admitted(doorman, header)] == ["invalid_api_key"] * 2


def test_only_so_many_keys_are_remembered() -> None:
    """However many ways there are to write one key."""
    doorman = Doorman(MemoryKeys())
    for spaces in range(REMEMBERED_KEYS + 3):
        doorman.admit(GOOD.replace(b" ", b" " * (1 + spaces)))
    assert len(doorman._known) == 3
