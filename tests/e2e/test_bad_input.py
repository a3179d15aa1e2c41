"""Whatever is sent, the answer is the right status and OpenAI's error body, quickly, and the gateway lives on."""

from __future__ import annotations

import http.client
import json
import time

import pytest

from tests.e2e.stack import Stack

HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]


def _with(**fields: object) -> bytes:
    return json.dumps({**HELLO, **fields}).encode()


def _post(
    stack: Stack, body: bytes, headers: dict[str, str] | None = None, path: str = "/v1/chat/completions"
) -> tuple[int, dict[str, str], dict[str, object], float]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=10)
    began = time.perf_counter()
    try:
        sent = {"authorization": f"Bearer {stack.key}", "content-type": "application/json", **(headers or {})}
        connection.request("POST", path, body, sent)
        answer = connection.getresponse()
        payload = json.loads(answer.read())
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, payload, time.perf_counter() - began
    finally:
        connection.close()


CASES = [
    # what, body, headers, status, code
    ("unknown model", _with(model="gpt-9-nano"), {}, 404, "model_not_found"),
    ("broken JSON", b'{"model": "auto", ', {}, 400, None),
    ("not an object", b"[1, 2]", {}, 400, None),
    ("empty body", b"", {}, 400, None),
    ("depth bomb", b'{"model":"auto","messages":' + b"[" * 5000 + b"]" * 5000 + b"}", {}, 400, None),
    ("messages is text", _with(messages="Hi"), {}, 400, None),
    ("messages is empty", _with(messages=[]), {}, 400, None),
    ("model is a number", _with(model=7), {}, 400, None),
    ("max_tokens is text", _with(max_tokens="many"), {}, 400, None),
    ("n too large", _with(n=1_000_000_000), {}, 400, None),
    ("stream is text", _with(stream="yes"), {}, 400, None),
    ("NaN", b'{"model":"auto","messages":[{"role":"user","content":"Hi"}],"temperature":NaN}', {}, 400, None),
    ("unknown task", _with(metadata={"task": "juggling"}), {}, 400, "unknown_task"),
    ("unknown complexity", _with(), {"x-spillway-complexity": "trivial"}, 400, "unknown_complexity"),
    ("no vision in the chain", _with(model="llama-8b-groq", messages=IMAGE), {}, 400, "no_capable_model"),
    ("no own target", _with(model="gpt-4o-mini"), {"x-spillway-spill": "never"}, 400, "no_own_target"),
    ("missing key", _with(), {"authorization": ""}, 401, None),
    ("wrong key", _with(), {"authorization": "Bearer sp-abc-def"}, 401, None),
    ("key with quotes", _with(), {"authorization": "Bearer ' OR 1=1 --"}, 401, None),
    ("very long key", _with(), {"authorization": "Bearer " + "x" * 8000}, 401, None),
]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_refusals(stack: Stack, body: bytes, headers: dict[str, str], status: int, code: str | None) -> None:
    """Status, all four keys of OpenAI's error body, a request id, in under 100 ms (best of three)."""
    tries = [_post(stack, body, headers) for _ in range(3)]
    got_status, got_headers, payload, _ = tries[0]
    assert got_status == status, payload
    error = payload["error"]
    assert isinstance(error, dict)
    assert set(error) >= {"message", "type", "param", "code"}
    if code is not None:
        assert error["code"] == code
    assert got_headers["x-request-id"]
    assert got_headers["x-spillway-error-source"] == "gateway"
    assert min(took_s for *_, took_s in tries) < 0.1


def test_body_over_the_limit(stack: Stack) -> None:
    """10 MiB is the cap: one byte of content more is 413, before the body is parsed."""
    status, headers, payload, _ = _post(stack, _with(messages=[{"role": "user", "content": "x" * (10 * 1024 * 1024)}]))
    assert status == 413
    assert headers["x-request-id"]
    assert "10485760" in json.dumps(payload)


def test_unknown_route_and_method(stack: Stack) -> None:
    """A route that is not on the list is 404 in the same shape."""
    status, headers, payload, _ = _post(stack, b"{}", path="/v1/nothing")
    assert status == 404
    assert headers["x-request-id"]
    assert isinstance(payload["error"], dict)


def test_no_worker_died(stack: Stack) -> None:
    """After all of it the same gateway process still answers."""
    before = stack.gateway_process().pid
    assert stack.client().chat.completions.create(
        model="llama-8b", messages=[{"role": "user", "content": "Hi"}], max_tokens=2
    )
    assert stack.gateway_process().pid == before
