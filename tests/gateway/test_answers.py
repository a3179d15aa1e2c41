"""Error bodies in OpenAI's shape, the headers that SDKs read, and what becomes of an upstream's error."""

from __future__ import annotations

import math
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import (
    EngineUnavailable,
    ErrorSource,
    RequestError,
    StreamBroken,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from controller.core.requests import Target
from controller.gateway.answers import (
    base_headers,
    error_body,
    error_event,
    error_headers,
    from_upstream,
    header_text,
    upstream_message,
)
from controller.gateway.headers import answer_headers, refusal_headers, usd_text
from tests.gateway.gateway_builders import BOUGHT, OWN, destinations, exchange

REFUSED = RequestError("no", status=400, code="invalid_value", param="n")


def headers_of(error: RequestError) -> dict[str, str]:
    """The headers of a refusal."""
    return {name.decode(): value.decode() for name, value in error_headers(error, base_headers(b"req-1"))}


def test_error_bodies_have_all_four_keys() -> None:
    """Also those that are null; in a stream the same is an event."""
    body = error_body(REFUSED)
    assert orjson.loads(body) == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}
    }
    assert error_event(REFUSED) == b"data: " + body + b"\n\n"


def test_headers_of_a_plain_refusal() -> None:
    """Type, ids and who refused; nothing about retrying unless something is known."""
    assert headers_of(REFUSED) == {
        "content-type": "application/json",
        "x-request-id": "req-1",
        "x-spillway-request-id": "req-1",
        "x-spillway-error-source": "gateway",
    }


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(0.0, "1"), (0.4, "1"), (1.0, "1"), (1.1, "2"), (59.5, "60"), (86_400.0, "60"), (math.inf, "60")],
)
def test_retry_after_is_whole_seconds_within_a_minute(seconds: float, header: str) -> None:
    """Above two minutes the OpenAI SDK would not come back at all."""
    assert (
        headers_of(RequestError("full", status=429, code="overloaded", retry_after_s=seconds))["retry-after"] == header
    )


@pytest.mark.parametrize(("should_retry", "header"), [(True, "true"), (False, "false"), (None, None)])
def test_x_should_retry(should_retry: bool | None, header: str | None) -> None:
    """Said only where the SDK's own rule would be wrong."""
    error = RequestError("x", status=429, code="x", should_retry=should_retry)
    assert headers_of(error).get("x-should-retry") == header


def test_www_authenticate_comes_with_401_only() -> None:
    """As HTTP wants it."""
    assert headers_of(RequestError("x", status=401, code="x"))["www-authenticate"] == "Bearer"
    assert "www-authenticate" not in headers_of(RequestError("x", status=403, code="x"))


@given(st.text())
def test_header_values_are_printable_ascii_on_one_line(text: str) -> None:
    """No CR, LF, NUL or other byte that could begin a header gets through; long texts are cut."""
    value = header_text(text)
    assert len(value) == min(len(text), 200)
    assert all(0x20 <= byte <= 0x7E for byte in value)


@given(st.text(min_size=1, max_size=50), st.text(max_size=50), st.text(max_size=20))
def test_nothing_a_caller_or_an_upstream_says_breaks_a_header(model: str, reason: str, message: str) -> None:
    """Model names and reasons with line ends stay in their value; messages stay in the body."""
    target = replace(BOUGHT, reason=reason)
    asked = exchange(target=target, model=model)
    asked.spill(reason)
    destination = destinations().of(target, asked.operation)
    error = RequestError(message, status=400, code="x")
    for stream in (False, True):
        headers = answer_headers(asked, destination, stream=stream) + refusal_headers(asked)
        for name, value in headers + error_headers(error, base_headers(b"req-1")):
            assert all(0x20 <= byte <= 0x7E for byte in name + value)


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [(0, b"0.000000000"), (1, b"0.000000001"), (1_234_567_890, b"1.234567890"), (10**12, b"1000.000000000")],
)
def test_money(nanousd: int, text: bytes) -> None:
    """Exact, with nine decimals."""
    assert usd_text(nanousd) == text


def rejected(status: int, error: object = None, retry_after_s: float | None = None) -> UpstreamRejected:
    """An upstream's refusal in OpenAI's shape."""
    return UpstreamRejected(status, b"" if error is None else orjson.dumps({"error": error}), retry_after_s)


WORDS = {"message": "why", "type": "some_error", "param": "n", "code": "some_code"}
UPSTREAMS = {
    # what: error, status, code, type, message, retry-after, should retry
    "400 keeps its words": (rejected(400, WORDS), 400, "some_code", "some_error", "why", None, False),
    "404 without words": (rejected(404), 404, "upstream_rejected", "invalid_request_error", "404", None, False),
    "429": (rejected(429, WORDS, 7.0), 429, "some_code", "rate_limit_error", "is rate limited: why", 7.0, None),
    "429 without a time": (rejected(429), 429, "rate_limit_exceeded", "rate_limit_error", "is rate limited", 1.0, None),
    "500": (rejected(500, WORDS), 502, "some_code", "server_error", "failed with status 500: why", None, None),
    "503": (rejected(503, None, 3.0), 503, "upstream_error", "server_error", "failed with status 503", 3.0, None),
    "a redirect": (rejected(302), 502, "upstream_error", "server_error", "failed with status 302", None, None),
    "our key": (rejected(401, WORDS), 502, "upstream_credentials", "server_error", "credentials", None, False),
    "our bill": (rejected(402), 502, "upstream_credentials", "server_error", "credentials", None, False),
    "our quota": (
        rejected(429, {"code": "insufficient_quota", "message": "You exceeded your quota"}, 7.0),
        502,
        "upstream_credentials",
        "server_error",
        "credentials",
        None,
        False,
    ),
    "our credit": (
        rejected(400, {"type": "invalid_request_error", "message": "Your credit balance is too low to go on"}),
        502,
        "upstream_credentials",
        "server_error",
        "credentials",
        None,
        False,
    ),
    "our rights": (rejected(403), 502, "upstream_credentials", "server_error", "credentials", None, False),
    "gone": (EngineUnavailable("no"), 503, "upstream_unavailable", "server_error", "no", 1.0, None),
    "connect": (UpstreamTimeout("connect", 1), 504, "connect_timeout", "server_error", "connect timeout", 1.0, None),
    "ttft": (UpstreamTimeout("ttft", 60), 504, "ttft_timeout", "server_error", "ttft timeout after 60 s", 1.0, None),
    "broken": (StreamBroken("cut"), 502, "stream_broken", "server_error", "cut", 1.0, None),
}


@pytest.mark.parametrize(
    ("error", "status", "code", "kind", "message", "retry_s", "again"), UPSTREAMS.values(), ids=UPSTREAMS.keys()
)
def test_an_upstreams_failure_in_words(
    *, error: UpstreamError, status: int, code: str, kind: str, message: str, retry_s: float | None, again: bool | None
) -> None:
    """Status, code, type, words and time to come back; a wrong key of the operator is never the caller's 401."""
    told = from_upstream(error, BOUGHT)
    assert (told.status, told.code, told.kind) == (status, code, kind)
    assert message in told.message
    assert (told.retry_after_s, told.should_retry) == (retry_s, again)


@pytest.mark.parametrize(("target", "source"), [(OWN, ErrorSource.POOL), (BOUGHT, ErrorSource.PROVIDER)])
def test_who_refused(target: Target, source: ErrorSource) -> None:
    """Own pools and providers are told apart."""
    for error in (rejected(400), rejected(401), rejected(429), rejected(500), EngineUnavailable("x")):
        assert from_upstream(error, target).source is source


BODIES = {
    "OpenAI": (b'{"error":{"message":"m","type":"t","param":"p","code":"c"}}', ("m", "t", "p", "c")),
    "vLLM, whose code is a number": (b'{"error":{"message":"m","code":400}}', ("m", None, None, "400")),
    "vLLM of old": (b'{"object":"error","message":"m","type":"t","param":null,"code":404}', ("m", "t", None, "404")),
    "Anthropic": (b'{"type":"error","error":{"type":"t","message":"m"}}', ("m", "t", None, None)),
    "only words": (b'{"error":"m"}', ("m", None, None, None)),
    "other shapes": (b'{"error":{"message":["m"],"type":1,"code":null}}', ("", None, None, None)),
    "a list": (b'["m"]', ("", None, None, None)),
    "null": (b'{"error":null}', ("", None, None, None)),
    "HTML": (b"<html>", ("", None, None, None)),
    "cut": (b'{"error":{"message":"m', ("", None, None, None)),
    "long": (b'{"error":"' + b"x" * 9000 + b'"}', ("x" * 500, None, None, None)),
}


@pytest.mark.parametrize(("body", "wanted"), BODIES.values(), ids=BODIES.keys())
def test_the_words_of_an_upstream(body: bytes, wanted: tuple[str, str | None, str | None, str | None]) -> None:
    """Message, type, param and code, whatever its dialect."""
    assert upstream_message(body) == wanted


@given(st.binary(max_size=80), st.integers(300, 599))
def test_any_body_of_an_upstream_makes_a_refusal(body: bytes, status: int) -> None:
    """With a status that is an error, a code and a message."""
    told = from_upstream(UpstreamRejected(status, body), BOUGHT)
    assert 400 <= told.status < 600
    assert told.code
    assert told.message
    assert orjson.loads(error_body(told))["error"]["code"] == told.code
