"""API keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.keys import KeyRecord, is_mistyped, key_digest, key_matches, key_text, split_key

PEPPER = bytes(range(32))


def record(secret: str, revoked_at_s: float | None = None) -> KeyRecord:
    """A stored key with this secret."""
    return KeyRecord(
        public_id="id",
        tenant="acme",
        name="ci",
        digest=key_digest(PEPPER, secret),
        created_at_s=0.0,
        revoked_at_s=revoked_at_s,
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sp-id-secret", ("id", "secret")),
        ("sp-id-se-cr-et", ("id", "se-cr-et")),
        ("sk-id-secret", None),
        ("sp-id", None),
        ("sp-id-", None),
        ("sp--secret", None),
        ("sp-", None),
        ("", None),
        ("sp-id-" + "x" * 195, None),
        ("sp-id-" + "x" * 194, ("id", "x" * 194)),
    ],
)
def test_a_key_is_split_or_refused(text: str, parts: tuple[str, str] | None) -> None:
    """Public id and secret, or None for what cannot be a key of ours."""
    assert split_key(text) == parts


def test_only_the_right_secret_of_a_live_key_matches() -> None:
    """Wrong and revoked keys do not; nor does another pepper."""
    assert key_matches(record("right"), PEPPER, "right")
    assert not key_matches(record("right"), PEPPER, "wrong")
    assert not key_matches(record("right"), bytes(32), "right")
    assert not key_matches(record("right", revoked_at_s=1.0), PEPPER, "right")


HEX = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(st.text("0123456789abcdef", min_size=12, max_size=12), HEX)
def test_a_key_ends_in_check_digits(public_id: str, secret: str) -> None:
    """They are split off; a key of the time before them is whole."""
    text = key_text(public_id, secret)
    assert text.startswith(f"sp-{public_id}-{secret}")
    assert split_key(text) == (public_id, secret)
    assert not is_mistyped(text)
    assert split_key(f"sp-{public_id}-{secret}") == (public_id, secret)
    assert not is_mistyped(f"sp-{public_id}-{secret}")


@given(HEX, st.integers(3, 13) | st.integers(16, 87), st.characters(codec="utf-8", exclude_characters="-"))
def test_a_typing_error_is_told_without_asking_anybody(secret: str, place: int, typed: str) -> None:
    """One wrong character between the dashes or behind them, or two neighbours swapped: no key at all."""
    text = key_text("0123456789ab", secret)
    swapped = text[:place] + text[place : place + 2][::-1] + text[place + 2 :]
    for wrong in (text[:place] + typed + text[place + 1 :], swapped):
        if wrong != text:
            assert is_mistyped(wrong)
            assert split_key(wrong) is None


@given(st.text(st.characters(), max_size=50))
def test_any_text_can_be_digested(secret: str) -> None:
    """Lone surrogates too: a hostile header is a wrong key, not a crash."""
    assert len(key_digest(PEPPER, secret)) == 32


def test_a_lone_surrogate_is_just_a_wrong_key() -> None:
    """Text that UTF-8 cannot encode is handled like any other."""
    assert not key_matches(record("right"), PEPPER, "\ud800")
