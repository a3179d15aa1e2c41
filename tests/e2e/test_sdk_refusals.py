"""Every kind of refusal through the official clients: right class, request id, who refused, and whether to retry."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.stack import Stack, running_stack

# Nothing falls back, so that each refusal is the one that was provoked; one tenant may buy nothing.
CONFIG = """
phase: phase3
fallbacks: {gpt-oss-20b-groq: [], gpt-4o-mini: [], gpt-6-luna: [], llama-8b-self: []}
tenants: {poor: {usd_per_day: "0"}}
pools:
  - name: llama-8b
    model: llama-8b-self
    replicas: {min: 1, max: 1}
    spill: {to: []}
"""
OWN = "llama-8b"
GROQ = "gpt-oss-20b-groq"
CALLERS = ("chat", "messages", "responses")
Failure = openai.APIError | anthropic.APIError


@contextmanager
def failing(port: int, **switch: object) -> Iterator[None]:
    """A simulated server that fails; afterwards it is well again."""
    for document in (switch, {"mode": "none"}):
        body = json.dumps(document).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/sim/faults", data=body, timeout=5) as answer:
            assert answer.status == 200
        if document is switch:
            try:
                yield
            finally:
                pass


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system without fallbacks."""
    with running_stack(tmp_path_factory.mktemp("alone"), CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def poor(alone: Stack) -> str:
    """The key of the tenant that may buy nothing."""
    words = ["keys", "create", "app", "--tenant", "poor", "--state-dir", str(alone.state_dir)]
    command = [sys.executable, "-m", "controller.cli.main", *words]
    key = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.strip()
    deadline = time.monotonic() + 6
    while True:
        try:
            alone.client(api_key=key).models.list()
        except openai.AuthenticationError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return key


def ask(stack: Stack, caller: str, *, key: str | None = None, retries: int = 0, **fields: Any) -> Any:
    """One question in one dialect; `stream` is read to its end."""
    model, headers = fields.pop("model", OWN), fields.pop("headers", {})
    options: dict[str, Any] = {"api_key": key or stack.key, "max_retries": retries, "timeout": 20}
    made: Any
    if caller == "messages":
        with anthropic.Anthropic(base_url=stack.base_url.removesuffix("/v1"), **options) as ant:
            base = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 30, "extra_headers": headers}
            made = ant.messages.create(model=model, **{**base, **fields})
            return list(made) if fields.get("stream") else made
    with openai.OpenAI(base_url=stack.base_url, **options) as oai:
        if caller == "chat":
            base = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 30, "extra_headers": headers}
            made = oai.chat.completions.create(model=model, **{**base, **fields})
        else:
            base = {"input": "Hi", "max_output_tokens": 30, "extra_headers": headers}
            made = oai.responses.create(model=model, **{**base, **fields})
        return list(made) if fields.get("stream") else made


def refused(stack: Stack, caller: str, **fields: Any) -> Any:
    """The client's exception."""
    with pytest.raises((openai.APIError, anthropic.APIError)) as caught:
        ask(stack, caller, **fields)
    return caught.value


def code_of(error: Any) -> str | None:
    """Our code, where each dialect has it."""
    if isinstance(error, anthropic.APIError):
        body: Any = error.body
        return str(body["error"]["details"]["error_code"])
    return str(error.code)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of refusal. `classes`: of chat and Responses, of Messages."""

    code: str
    classes: tuple[type[Exception], type[Exception]]
    source: str = "gateway"
    statuses: tuple[int, int] = (400, 400)
    should_retry: str | None = "false"
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)  # by caller; "": all

    def of(self, caller: str) -> dict[str, Any]:
        """What to ask."""
        return {**self.fields.get("", {}), **self.fields.get(caller, {})}


BAD = (openai.BadRequestError, anthropic.BadRequestError)
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
LOOK: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
LOOK_THERE: Any = {"name": "look", "input_schema": {"type": "object"}}
KINDS = {
    "a wrong key": Kind(
        code="invalid_api_key",
        classes=(openai.AuthenticationError, anthropic.AuthenticationError),
        statuses=(401, 401),
        fields={"": {"key": "sp-no-body"}},
    ),
    "a wrong value": Kind(code="invalid_value", classes=BAD, fields={"": {"extra_body": {"temperature": 9}}}),
    "an unknown model": Kind(
        code="model_not_found",
        classes=(openai.NotFoundError, anthropic.NotFoundError),
        statuses=(404, 404),
        fields={"": {"model": "gpt-9-nano"}},
    ),
    "nobody can": Kind(
        code="no_own_target",
        classes=BAD,
        fields={"": {"model": "gpt-6-luna", "headers": {"x-spillway-spill": "never"}}},
    ),
    "no words for it": Kind(
        code="not_translatable",
        classes=BAD,
        fields={
            "": {"model": GROQ},
            "chat": {"logprobs": True},
            "messages": {"messages": [{"role": "user", "content": [DOCUMENT]}]},
            "responses": {"include": ["message.output_text.logprobs"]},
        },
    ),
    "no money": Kind(
        code="insufficient_quota",
        classes=(openai.RateLimitError, anthropic.APIStatusError),
        statuses=(429, 402),
        fields={"": {"model": "gpt-4o-mini"}},
    ),
    "the provider's own no": Kind(
        code="upstream_rejected",
        classes=BAD,
        source="provider",
        fields={
            "": {"model": GROQ},
            "chat": {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "see"}}},
            "messages": {"tools": [LOOK_THERE], "tool_choice": {"type": "tool", "name": "see"}},
        },
    ),
}
CASES = [(name, caller) for name in KINDS for caller in CALLERS]
CASES.remove(("the provider's own no", "responses"))  # such a choice is refused before it is sent


@pytest.mark.parametrize(("name", "caller"), CASES)
def test_a_refusal(alone: Stack, poor: str, name: str, caller: str) -> None:
    """Says it in the caller's dialect, so that the client raises what its users catch."""
    kind = KINDS[name]
    fields = kind.of(caller)
    if name == "no money":
        fields["key"] = poor
    error = refused(alone, caller, **fields)
    is_messages = caller == "messages"
    assert type(error) is kind.classes[is_messages] or (is_messages and kind.statuses[1] == 402)
    assert isinstance(error, kind.classes[is_messages])
    assert error.status_code == kind.statuses[is_messages]
    assert code_of(error) == kind.code
    headers = error.response.headers
    assert error.request_id == headers["x-spillway-request-id"]
    assert headers["x-spillway-error-source"] == kind.source
    assert headers.get("x-should-retry") == kind.should_retry


@pytest.mark.parametrize("caller", CALLERS)
def test_what_is_refused_for_good_is_asked_once(alone: Stack, poor: str, caller: str) -> None:
    """A client that may retry does not, as the answer would be the same."""
    before = alone.gateway_metric("spillway_requests_total")
    refused(alone, caller, key=poor, model="gpt-4o-mini", retries=2)
    assert alone.gateway_metric("spillway_requests_total") == before + 1


LIMITED = (openai.RateLimitError, anthropic.RateLimitError)
BROKEN = (openai.InternalServerError, anthropic.InternalServerError)


@pytest.mark.parametrize("caller", CALLERS)
def test_a_provider_that_is_full(alone: Stack, caller: str) -> None:
    """Is a rate limit with the provider's own wait; a client that retries gets its answer after it."""
    with failing(alone.standin_port, mode="error", status=429, retry_after_s=1, count=1):
        error = refused(alone, caller, model=GROQ)
    assert isinstance(error, LIMITED)
    assert error.response.headers["retry-after"] == "1"
    assert error.response.headers["x-spillway-error-source"] == "provider"
    assert "x-should-retry" not in error.response.headers
    assert ask(alone, caller, model=GROQ, retries=2)


@pytest.mark.parametrize("caller", CALLERS)
def test_a_provider_that_fails(alone: Stack, caller: str) -> None:
    """Is a server error, worth another try."""
    with failing(alone.standin_port, mode="error", status=500, count=1):
        error = refused(alone, caller, model=GROQ)
    assert isinstance(error, BROKEN)
    assert error.response.headers["x-spillway-error-source"] == "provider"
    assert ask(alone, caller, model=GROQ)


@pytest.mark.parametrize("caller", CALLERS)
def test_an_own_engine_that_fails(alone: Stack, caller: str) -> None:
    """Is the pool's doing."""
    (replica,) = alone.replicas()
    port = int(str(replica["url"]).rsplit(":", 1)[1])
    with failing(port, mode="error", status=500, count=1):
        error = refused(alone, caller, headers={"x-spillway-spill": "never"})
    assert isinstance(error, BROKEN)
    assert error.response.headers["x-spillway-error-source"] == "pool"
    assert ask(alone, caller, retries=3)


TAILS: dict[str, Callable[[Any], bool]] = {
    "chat": lambda error: isinstance(error, openai.APIError),
    "messages": lambda error: isinstance(error, anthropic.APIStatusError),
    "responses": lambda error: isinstance(error, openai.APIError),
}


@pytest.mark.parametrize("caller", CALLERS)
def test_a_stream_that_breaks(alone: Stack, caller: str) -> None:
    """Raises in the middle of reading: no client takes a cut answer for a whole one."""
    with failing(alone.standin_port, mode="reset", after_tokens=4, count=1):
        error = refused(alone, caller, model=GROQ, stream=True)
    assert TAILS[caller](error)
    assert not isinstance(error, openai.APIConnectionError | anthropic.APIConnectionError)
    assert code_of(error) in ("stream_broken", "upstream_unavailable")
