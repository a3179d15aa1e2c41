"""Requests to OpenAI-shaped upstreams, and what is read from their whole answers."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.config.schema import CapsSection
from controller.config.settings import Caps
from controller.core.errors import EngineUnavailable, UpstreamRejected
from controller.core.money import Usage
from controller.core.requests import Operation
from controller.gateway.decode import Decoded, decode
from controller.gateway.openai_wire import read_unary, request_body, usage_of
from tests.gateway.gateway_builders import GPT, HELLO, LLAMA, chat_model, decoded

MESSAGES = HELLO["messages"]


def sent(request: Decoded, *, own: bool = False, temperature: float | None = None) -> dict[str, object]:
    """The document that goes out."""
    model = LLAMA if own else GPT
    document: dict[str, object] = orjson.loads(request_body(request, model, is_own=own, temperature=temperature))
    return document


def test_a_name_that_stands_twice() -> None:
    """Goes out once, with the value that was judged, though nothing else changes: a target might take the other."""
    body = b'{"n":1000000, "model":"gpt-4o-id", "messages" :[{"role":"user","content":"\\u00e9"}], "n": 2, "top_p":1.0}'
    request = decode(Operation.CHAT, {}, body, "acme", Caps())
    assert request.n == 2
    expected = '{"n":2,"model":"gpt-4o-id","messages":[{"role":"user","content":"\u00e9"}],"top_p":1.0}'
    assert request_body(request, GPT, is_own=False, temperature=None) == expected.encode()


BODIES = {
    # what: request fields, to an own engine, our temperature, what goes out besides model and messages
    "the target's model id": ({}, False, None, {}),
    "our temperature": ({}, False, 0.3, {"temperature": 0.3}),
    "the caller's temperature": ({"temperature": 0.9}, False, 0.3, {"temperature": 0.9}),
    "a temperature of zero is one": ({"temperature": 0}, False, 0.3, {"temperature": 0}),
    "usage is asked for": ({"stream": True}, False, None, {"stream": True, "stream_options": {"include_usage": True}}),
    "usage beside other stream options": (
        {"stream": True, "stream_options": {"include_usage": False, "include_obfuscation": False}},
        False,
        None,
        {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
    ),
    "usage that the caller asked for": (
        {"stream": True, "stream_options": {"include_usage": True}},
        False,
        None,
        {"stream": True, "stream_options": {"include_usage": True}},
    ),
    "metadata is for us": ({"metadata": {"task": "critique"}}, False, None, {}),
    "engine fields stay from providers": ({"top_k": 5, "guided_json": {}, "seed": 1}, False, None, {"seed": 1}),
    "engine fields go to engines": ({"top_k": 5, "seed": 1}, True, None, {"top_k": 5, "seed": 1}),
    "what nobody knows goes nowhere": ({"kv_transfer_params": {}, "mm_processor_kwargs": {}, "x": 1}, True, None, {}),
}


@pytest.mark.parametrize(("fields", "own", "temperature", "wanted"), BODIES.values(), ids=BODIES.keys())
def test_request_bodies(fields: dict[str, object], own: bool, temperature: float | None, wanted: object) -> None:
    """Only known fields go on, with the target's model id."""
    model_id = (LLAMA if own else GPT).model_id
    got = sent(decoded(**fields), own=own, temperature=temperature)
    assert got == {"model": model_id, "messages": MESSAGES, **wanted}  # type: ignore[dict-item]


def test_models_with_sampling_of_their_own() -> None:
    """A model that would answer 400 to a temperature gets none, and its limit by the newer name."""
    model = chat_model(accepts_temperature=False)
    request = decoded(max_tokens=9, temperature=1, top_p=1, presence_penalty=0, frequency_penalty=0, seed=1)
    got = orjson.loads(request_body(request, model, is_own=False, temperature=None))
    assert got == {"model": "gpt-4o-id", "messages": MESSAGES, "seed": 1, "max_completion_tokens": 9}
    newer = orjson.loads(request_body(decoded(max_completion_tokens=8), model, is_own=False, temperature=None))
    assert newer["max_completion_tokens"] == 8


@pytest.mark.parametrize(
    ("operation", "fields"),
    [(Operation.COMPLETION, {"prompt": "Hi"}), (Operation.EMBEDDINGS, {"input": ["a", "b"], "dimensions": 8})],
    ids=["completion", "embeddings"],
)
def test_other_operations(operation: Operation, fields: dict[str, object]) -> None:
    """They go out with their own fields."""
    assert sent(decoded(operation, **fields)) == {"model": "gpt-4o-id", **fields}


def test_streams_of_completions_ask_for_usage_too() -> None:
    """Legacy completions are metered like chat."""
    got = sent(decoded(Operation.COMPLETION, prompt="Hi", stream=True))
    assert got["stream_options"] == {"include_usage": True}


USAGES = {
    "chat": ({"prompt_tokens": 7, "completion_tokens": 2}, (7, 2, 0)),
    "embeddings": ({"prompt_tokens": 7, "total_tokens": 7}, (7, 0, 0)),
    "null output": ({"prompt_tokens": 7, "completion_tokens": None}, (7, 0, 0)),
    "cached": ({"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 5}}, (7, 2, 5)),
    "no details": ({"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": None}, (7, 2, 0)),
    "more cached than there are": (
        {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 99}},
        (7, 2, 7),
    ),
    "negative": ({"prompt_tokens": -1, "completion_tokens": 2}, None),
    "text": ({"prompt_tokens": "7", "completion_tokens": 2}, None),
    "booleans": ({"prompt_tokens": True, "completion_tokens": 2}, None),
    "no input": ({"completion_tokens": 2}, None),
    "null": (None, None),
    "a list": ([7, 2], None),
}


@pytest.mark.parametrize(("raw", "wanted"), USAGES.values(), ids=USAGES.keys())
def test_usage(raw: object, wanted: tuple[int, int, int] | None) -> None:
    """Whole counts, or None: then metering estimates."""
    if wanted is None:
        assert usage_of(raw) is None
    else:
        inputs, outputs, cached = wanted
        assert usage_of(raw) == Usage(input_tokens=inputs, output_tokens=outputs, cached_input_tokens=cached)


counts = st.none() | st.booleans() | st.integers(-3, 10) | st.floats() | st.text(max_size=2)


@given(st.fixed_dictionaries({}, optional={"prompt_tokens": counts, "completion_tokens": counts, "cached": counts}))
def test_usage_is_never_negative_nor_more_cached_than_input(raw: dict[str, object]) -> None:
    """Whatever the upstream says."""
    usage = usage_of({**raw, "prompt_tokens_details": {"cached_tokens": raw.get("cached")}})
    assert usage is None or (usage.input_tokens >= usage.cached_input_tokens >= 0 and usage.output_tokens >= 0)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.CHAT, b'{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}'),
        (Operation.COMPLETION, b'{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}'),
        (Operation.EMBEDDINGS, b'{"data": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}'),
    ],
)
def test_whole_answers_are_relayed_as_they_are(operation: Operation, body: bytes) -> None:
    """The very bytes, and their usage."""
    assert read_unary(body, operation) == (body, Usage(input_tokens=7, output_tokens=2))


BROKEN = [b"", b"<html>", b"[]", b"{}", b'{"choices": null}', b'{"choices": {}}', b'{"data": []}', b"\xff", b"null"]


@pytest.mark.parametrize("body", BROKEN)
def test_a_200_that_is_no_answer(body: bytes) -> None:
    """It counts as a failure, so that another target is tried."""
    with pytest.raises(EngineUnavailable, match="answered 200"):
        read_unary(body, Operation.CHAT)


def test_an_answer_that_was_given_up() -> None:
    """A vLLM that is told to end says so by its finish reason: what it had said by then is not the answer."""
    body = b'{"choices": [{"message": {"content": "Once"}, "finish_reason": "abort"}]}'
    with pytest.raises(EngineUnavailable, match="gave up"):
        read_unary(body, Operation.CHAT)
    said = b'{"choices": [{"message": {"content": "abort"}, "finish_reason": "stop"}]}'
    assert read_unary(said, Operation.CHAT)[0] == said


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error": {"message": "full", "code": 503}}', 503),
        (b'{"error": {"message": "full", "code": "rate_limit"}}', 502),
        (b'{"error": {"message": "odd", "code": 200}}', 502),
        (b'{"error": "full"}', 502),
    ],
    ids=["its own status", "a code in words", "not an error status", "only words"],
)
def test_an_error_in_a_200(body: bytes, status: int) -> None:
    """It is one, with the status it names or 502."""
    with pytest.raises(UpstreamRejected) as caught:
        read_unary(body, Operation.CHAT)
    assert (caught.value.status, caught.value.body) == (status, body)


def test_the_deepest_body_that_may_come_is_written_again() -> None:
    """At the highest depth that the configuration allows, encoding still has room."""
    depth = 250
    nested = b"[" * (depth - 3) + b"]" * (depth - 3)
    body = b'{"model":"auto","messages":[{"role":"user","content":"Hi"}],"tools":[{"function":' + nested + b"}]}"
    request = decode(Operation.CHAT, {}, body, "acme", Caps(json_depth=depth))
    assert nested in request_body(request, GPT, is_own=False, temperature=None)
    with pytest.raises(ValidationError):
        CapsSection(json_depth=depth + 1)
