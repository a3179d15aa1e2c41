"""What callers ask of the gateway by headers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.core.errors import RequestError
from controller.gateway import wishes

READ = {
    # header: reader, text, value
    "deadline": ("x-spillway-deadline-ms", wishes.answer_within_s, b"1500", 1.5),
    "the longest deadline": ("x-spillway-deadline-ms", wishes.answer_within_s, b"86400000", 86_400.0),
    "a cost": ("x-spillway-max-cost-usd", wishes.max_cost_nanousd, b"0.0025", 2_500_000),
    "no cost": ("x-spillway-max-cost-usd", wishes.max_cost_nanousd, b"0", 0),
    "a small cost": ("x-spillway-max-cost-usd", wishes.max_cost_nanousd, b"1e-9", 1),
    "a retry": ("x-stainless-retry-count", wishes.client_retries, b"2", 2),
    "retries of nonsense": ("x-stainless-retry-count", wishes.client_retries, b"many", 0),
    "very many retries": ("x-stainless-retry-count", wishes.client_retries, b"9999999999", 0),
    "a read timeout": ("x-stainless-read-timeout", wishes.deadline_s, b"600.0", 600.0),
    "a read timeout of nonsense": ("x-stainless-read-timeout", wishes.deadline_s, b"soon", None),
    "a read timeout of nothing": ("x-stainless-read-timeout", wishes.deadline_s, b"nan", None),
}


@pytest.mark.parametrize(("header", "read", "text", "value"), READ.values(), ids=READ.keys())
def test_what_is_read(header: str, read: Callable[[dict[bytes, bytes]], object], text: bytes, value: object) -> None:
    """Its value; without the header there is none."""
    assert read({header.encode(): text}) == value
    assert not read({})


REFUSED = {
    "no deadline": ("x-spillway-deadline-ms", wishes.answer_within_s, b"0"),
    "a past deadline": ("x-spillway-deadline-ms", wishes.answer_within_s, b"-5"),
    "half a deadline": ("x-spillway-deadline-ms", wishes.answer_within_s, b"1.5"),
    "a deadline beyond a day": ("x-spillway-deadline-ms", wishes.answer_within_s, b"86400001"),
    "a huge deadline": ("x-spillway-deadline-ms", wishes.answer_within_s, b"9" * 5000),
    "a cost in words": ("x-spillway-max-cost-usd", wishes.max_cost_nanousd, b"cheap"),
    "a cost of no number": ("x-spillway-max-cost-usd", wishes.max_cost_nanousd, b"NaN"),
    "an endless cost": ("x-spillway-max-cost-usd", wishes.max_cost_nanousd, b"inf"),
    "a negative cost": ("x-spillway-max-cost-usd", wishes.max_cost_nanousd, b"-1"),
    "a cost in other digits": ("x-spillway-max-cost-usd", wishes.max_cost_nanousd, "١".encode()),
}


@pytest.mark.parametrize(("header", "read", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_sense_is_refused(header: str, read: Callable[[dict[bytes, bytes]], object], text: bytes) -> None:
    """A wish that is not understood must not be passed over: 400 with its name and the allowed range."""
    with pytest.raises(RequestError) as refused:
        read({header.encode(): text})
    assert (refused.value.status, refused.value.param, refused.value.should_retry) == (400, header, False)
    assert "from" in refused.value.message


SHOWN = {
    # what came, in words
    "nothing": (None, "nothing"),
    "a truth": (True, "true"),
    "a number": (-3, "-3"),
    "a fraction": (2.5, "2.5"),
    "a number without end": (10**400, "a number of 401 digits"),
    "a header": (b"cheap", "'cheap'"),
    "a header with a line end": (b"a\r\nb", "4 bytes"),
    "a header in other letters": ("١".encode(), "2 bytes"),
    "a long header, maybe a key": (b"k" * 33, "33 bytes"),
    "words, maybe of a prompt": ("tell me", "a string of 7 characters"),
    "a list": (["a", "b"], "a list of 2"),
    "an object": ({"a": 1}, "an object"),
}


@pytest.mark.parametrize(("value", "shown"), SHOWN.values(), ids=SHOWN.keys())
def test_what_came_is_told_but_not_anybodys_words(value: object, shown: str) -> None:
    """Numbers and short headers as they are, of texts the length only."""
    assert wishes.wrong("n", "`n` must be one", got=value).message == f"`n` must be one, got {shown}"
