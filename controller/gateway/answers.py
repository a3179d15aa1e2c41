"""What goes out besides relayed bytes: error bodies in OpenAI's shape, and the headers that say what happened."""

from __future__ import annotations

import math

import orjson

from controller.core.errors import (
    EngineUnavailable,
    ErrorSource,
    RequestError,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from controller.core.requests import Target, TargetKind
from controller.gateway.dialects.caller import Caller
from controller.gateway.ports import Line
from controller.routing.key_faults import is_key_refused

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
SSE = (b"content-type", b"text/event-stream; charset=utf-8")
NO_CACHE = (b"cache-control", b"no-cache")
DONE = b"data: [DONE]\n\n"
RETRY_AFTER_MAX_S = 60.0  # the OpenAI SDK does not retry at all above 120 s


def error_body(error: RequestError) -> bytes:
    """`{"error": {...}}` with all four keys."""
    return orjson.dumps(
        {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}
    )


def error_event(error: RequestError) -> bytes:
    """The same inside a stream; no [DONE] follows it."""
    return b"data: " + error_body(error) + b"\n\n"


def base_headers(request_id: bytes) -> Headers:
    """On every answer."""
    return [(b"x-request-id", request_id), (b"x-spillway-request-id", request_id)]


def header_text(text: str) -> bytes:
    """Safe as a header value: printable ASCII on one line, shortened."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:200]).encode("ascii")


def error_headers(error: RequestError, ids: Headers) -> Headers:
    """Headers of a refusal, with what the SDKs' retry logic reads. `ids`: those that name the request."""
    headers = [JSON, *ids, (b"x-spillway-error-source", error.source.value.encode())]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(min(error.retry_after_s, RETRY_AFTER_MAX_S)))))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def send_whole(line: Line, status: int, headers: Headers, body: bytes) -> None:
    """One answer of known length."""
    headers.append((b"content-length", b"%d" % len(body)))
    line.begin(status, headers)
    line.write(body, more=False)


def send_error(
    line: Line, error: RequestError, caller: Caller, request_id: bytes, extra: Headers | None = None
) -> None:
    """A refusal in the caller's words."""
    headers = error_headers(error, caller.id_headers(request_id))
    if extra:
        headers.extend(extra)
    send_whole(line, caller.status(error), headers, caller.error_body(error, request_id))


def _source(target: Target) -> ErrorSource:
    return ErrorSource.POOL if target.kind is TargetKind.OWN else ErrorSource.PROVIDER


def upstream_message(body: bytes) -> tuple[str, str | None, str | None, str | None]:
    """(message, type, param, code) of an upstream's error body, whatever its dialect."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", None, None, None
    error = document.get("error", document) if isinstance(document, dict) else None
    if isinstance(error, str):
        return error[:500], None, None, None
    if not isinstance(error, dict):
        return "", None, None, None
    message, kind, param, code = (error.get(name) for name in ("message", "type", "param", "code"))
    return (
        message[:500] if isinstance(message, str) else "",
        kind if isinstance(kind, str) else None,
        param if isinstance(param, str) else None,
        str(code) if isinstance(code, str | int) else None,  # vLLM's code is an int
    )


def _rejected(error: UpstreamRejected, target: Target) -> RequestError:
    message, kind, param, code = upstream_message(error.body)
    name, source = target.name, _source(target)
    if is_key_refused(error):  # the operator's credential, not the caller's
        return RequestError(
            f"{name} refused the gateway's credentials",
            status=502,
            code="upstream_credentials",
            kind="server_error",
            should_retry=False,
            source=source,
        )
    if error.status == 429:
        return RequestError(
            f"{name} is rate limited: {message}" if message else f"{name} is rate limited",
            status=429,
            code=code or "rate_limit_exceeded",
            kind="rate_limit_error",
            retry_after_s=error.retry_after_s or 1.0,
            source=source,
        )
    if 400 <= error.status < 500:
        return RequestError(
            message or f"{name} refused the request with status {error.status}",
            status=error.status,
            code=code or "upstream_rejected",
            kind=kind or "invalid_request_error",
            param=param,
            should_retry=False,
            source=source,
        )
    return RequestError(
        f"{name} failed with status {error.status}" + (f": {message}" if message else ""),
        status=503 if error.status == 503 else 502,
        code=code or "upstream_error",
        kind="server_error",
        retry_after_s=error.retry_after_s,
        source=source,
    )


def from_upstream(error: UpstreamError, target: Target) -> RequestError:
    """What the caller is told when this was the last try."""
    if isinstance(error, UpstreamRejected):
        return _rejected(error, target)
    if isinstance(error, UpstreamTimeout):
        status, code = 504, f"{error.phase}_timeout"
    elif isinstance(error, EngineUnavailable):
        status, code = 503, "upstream_unavailable"
    else:
        status, code = 502, "stream_broken"
    return RequestError(
        f"{target.name}: {error}",
        status=status,
        code=code,
        kind="server_error",
        retry_after_s=1.0,
        source=_source(target),
    )
