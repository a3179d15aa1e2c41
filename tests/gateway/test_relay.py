"""Reading answers before anything goes out: times to come back, error bodies, the first content of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import EngineUnavailable, UpstreamError, UpstreamRejected
from controller.gateway.openai_wire import OpenAIStream
from controller.gateway.relay import (
    ERROR_BODY_BYTES,
    KEPT_ERROR_BYTES,
    read_whole,
    refuse_errors,
    retry_after_s,
    without_keys,
)
from controller.gateway.relay import until_content as first_content
from tests.gateway.gateway_world import DONE, EVENT, LAST, Answer, stream, whole

NOW_S = 1_790_000_000.0  # Mon, 21 Sep 2026 14:13:20 GMT


def wait_s(headers: Mapping[str, str]) -> float | None:
    """What an upstream's headers come to."""
    return retry_after_s(whole(headers=headers), NOW_S)


TIMES = {
    "none": ({}, None),
    "seconds": ({"retry-after": "7"}, 7.0),
    "seconds with a fraction": ({"retry-after": " 0.5 "}, 0.5),
    "milliseconds go first": ({"retry-after": "7", "retry-after-ms": "1500"}, 1.5),
    "a date": ({"retry-after": "Mon, 21 Sep 2026 14:13:50 GMT"}, 30.0),
    "a date gone by": ({"retry-after": "Mon, 21 Sep 2026 14:13:00 GMT"}, None),
    "words": ({"retry-after": "soon"}, None),
    "two numbers": ({"retry-after": "1, 2"}, None),
    "negative": ({"retry-after": "-7"}, None),
    "empty": ({"retry-after": ""}, None),
    "not a number": ({"retry-after-ms": "nan"}, None),
    "for ever": ({"retry-after-ms": "inf"}, None),
    "a superscript": ({"retry-after": "²"}, None),
}


@pytest.mark.parametrize(("headers", "wanted"), TIMES.values(), ids=TIMES.keys())
def test_times_to_come_back(headers: dict[str, str], wanted: float | None) -> None:
    """All three forms in use; what makes no sense is none."""
    assert wait_s(headers) == wanted


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), st.text(max_size=40)))
def test_any_time_makes_sense_or_is_none(headers: dict[str, str]) -> None:
    """No header of an upstream is ever an exception, a negative time or an endless one."""
    found = wait_s(headers)
    assert found is None or 0.0 <= found < 1e10


def test_whole_bodies() -> None:
    """Piece by piece to the end, or until there is enough."""
    assert asyncio.run(read_whole(Answer(pieces=[]))) == b""
    assert asyncio.run(read_whole(Answer(pieces=[b"a", b"b", b"c"]))) == b"abc"
    assert asyncio.run(read_whole(Answer(pieces=[b"a", b"b", b"c"]), 2)) == b"ab"


def test_errors_are_read_within_a_limit() -> None:
    """Status, beginning of the body and time; an endless error body is not read to its end."""
    answer = Answer(pieces=[b"x" * 10_000] * 100, status=503, headers={"retry-after": "3"})
    with pytest.raises(UpstreamRejected) as caught:
        asyncio.run(refuse_errors(answer, NOW_S))
    error = caught.value
    assert (error.status, error.retry_after_s) == (503, 3.0)
    assert ERROR_BODY_BYTES <= len(error.body) < ERROR_BODY_BYTES + 10_000
    assert len(answer.pieces) >= 100 - ERROR_BODY_BYTES // 10_000 - 1
    asyncio.run(refuse_errors(whole(), NOW_S))


ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
ERROR = b'data: {"error":{"message":"boom","code":503}}\n\n'


def begun(answer: Answer) -> bytes:
    """What the caller gets first."""
    return asyncio.run(first_content(answer, OpenAIStream(wants_usage=False)))


STARTS = {
    "the role waits for the text": ([ROLE, EVENT, LAST], ROLE + EVENT),
    "text at once": ([EVENT + LAST], EVENT + LAST),
    "an empty answer": ([ROLE, DONE], ROLE),
    "an end without content": ([ROLE + LAST], ROLE + LAST),
}


@pytest.mark.parametrize(("pieces", "wanted"), STARTS.values(), ids=STARTS.keys())
def test_the_first_bytes(pieces: list[bytes], wanted: bytes) -> None:
    """Nothing goes out before there is something to see, and then nothing is missing."""
    assert begun(stream(*pieces)) == wanted


FAILURES = {
    "not an event stream": (whole(), EngineUnavailable),
    "an end before any content": (stream(ROLE), EngineUnavailable),
    "nothing": (stream(), EngineUnavailable),
    "an error event": (stream(ROLE, ERROR), UpstreamRejected),
    "junk": (stream(b"data: <html>\n\n"), EngineUnavailable),
    "cut": (stream(ROLE, EngineUnavailable("cut")), EngineUnavailable),
}


@pytest.mark.parametrize(("answer", "error"), FAILURES.values(), ids=FAILURES.keys())
def test_failures_before_the_first_byte(answer: Answer, error: type[UpstreamError]) -> None:
    """Each is one that lets the gateway go elsewhere."""
    with pytest.raises(error):
        begun(answer)


def test_a_key_that_comes_back_is_not_told_on() -> None:
    """An upstream that repeats what it was sent tells nobody the operator's key."""
    error = UpstreamRejected(400, b'{"error": "got sk-canary, Bearer sk-canary"}')
    assert without_keys(error, (("authorization", "Bearer sk-canary"), ("x", "got"))) is error
    assert error.body == b'{"error": "got ***, Bearer ***"}'


def test_of_a_long_error_the_beginning_is_kept() -> None:
    """A key that stands across the end of it shows no part of itself."""
    error = UpstreamRejected(400, b"x" * (KEPT_ERROR_BYTES - 5) + b"sk-canary" + b"y" * 99)
    without_keys(error, (("x-api-key", "sk-canary"),))
    assert error.body == b"x" * (KEPT_ERROR_BYTES - 5) + b"***yy"
    cut = EngineUnavailable("cut")
    assert without_keys(cut, (("x-api-key", "sk-canary"),)) is cut
