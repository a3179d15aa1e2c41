"""From bytes to a checked request: every refusal, and no other exception whatever is sent."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.config.settings import CAPS, Caps
from controller.core.errors import RequestError
from controller.core.requests import Operation
from controller.gateway.decode import Decoded, decode
from controller.gateway.json_body import too_large
from tests.gateway.gateway_builders import HELLO

CHAT, COMPLETION, EMBEDDINGS = Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDINGS
USER = {"role": "user", "content": "Hi"}


def refusal(body: bytes, operation: Operation = CHAT, headers: dict[bytes, bytes] | None = None) -> RequestError:
    """What the caller is told."""
    with pytest.raises(RequestError) as caught:
        decode(operation, headers or {}, body, "acme", Caps())
    assert caught.value.status == 400
    assert caught.value.should_retry is False
    assert caught.value.kind == "invalid_request_error"
    return caught.value


NOT_JSON = {
    "empty": (b"", "the body is not valid JSON"),
    "cut": (b'{"model": "auto", ', "the body is not valid JSON"),
    "NaN": (b'{"model": NaN}', "the body is not valid JSON"),
    "an infinite number": (b'{"model": 1e999}', "the body is not valid JSON"),
    "half a surrogate": (b'{"model": "\\ud800"}', "the body is not valid JSON"),
    "not UTF-8": (b'{"model": "\xff"}', "the body is not valid JSON"),
    "a list": (b"[1]", "the body must be a JSON object"),
    "a word": (b'"auto"', "the body must be a JSON object"),
    "too deep": (b'{"model":' + b"[" * 65 + b"]" * 65 + b"}", "the body is nested deeper than 64 levels"),
    "much too deep": (b"[" * 100_000, "the body is not valid JSON"),
}


@pytest.mark.parametrize(("body", "words"), NOT_JSON.values(), ids=NOT_JSON.keys())
def test_bodies_that_are_not_an_object(body: bytes, words: str) -> None:
    """Code invalid_json, param body, and what is wrong."""
    error = refusal(body)
    assert (error.code, error.param) == ("invalid_json", "body")
    assert error.message.startswith(words)


ROLE = "`role` must be one of assistant, developer, function, system, tool, user"
WRONG = {
    # what: fields, param, message
    "no model": ({"model": None}, "model", "`model` must be a string of 1 to 256 characters"),
    "model is a number": ({"model": 7}, "model", "`model` must be a string of 1 to 256 characters"),
    "model is empty": ({"model": ""}, "model", "`model` must be a string of 1 to 256 characters"),
    "model is long": ({"model": "m" * 257}, "model", "`model` must be a string of 1 to 256 characters"),
    "stream is text": ({"stream": "yes"}, "stream", "`stream` must be true or false"),
    "stream_options": ({"stream_options": 1}, "stream_options", "`stream_options` must be an object"),
    "temperature": ({"temperature": 2.1}, "temperature", "`temperature` must be a number between 0 and 2"),
    "temperature is true": ({"temperature": True}, "temperature", "`temperature` must be a number between 0 and 2"),
    "top_p": ({"top_p": -0.1}, "top_p", "`top_p` must be a number between 0 and 1"),
    "presence_penalty": (
        {"presence_penalty": 3},
        "presence_penalty",
        "`presence_penalty` must be a number between -2 and 2",
    ),
    "frequency_penalty": (
        {"frequency_penalty": "1"},
        "frequency_penalty",
        "`frequency_penalty` must be a number between -2 and 2",
    ),
    "n of zero": ({"n": 0}, "n", "`n` must be an integer between 1 and 8"),
    "n too large": ({"n": 9}, "n", "`n` must be an integer between 1 and 8"),
    "n is true": ({"n": True}, "n", "`n` must be an integer between 1 and 8"),
    "max_tokens is text": ({"max_tokens": "1"}, "max_tokens", "`max_tokens` must be an integer between 1 and 10000000"),
    "max_tokens of zero": ({"max_tokens": 0}, "max_tokens", "`max_tokens` must be an integer between 1 and 10000000"),
    "max_tokens is half": ({"max_tokens": 1.5}, "max_tokens", "`max_tokens` must be an integer between 1 and 10000000"),
    "max_completion_tokens": (
        {"max_completion_tokens": -1},
        "max_completion_tokens",
        "`max_completion_tokens` must be an integer between 1 and 10000000",
    ),
    "no messages": ({"messages": None}, "messages", "`messages` must be a non-empty list"),
    "messages is text": ({"messages": "Hi"}, "messages", "`messages` must be a non-empty list"),
    "messages is empty": ({"messages": []}, "messages", "`messages` must be a non-empty list"),
    "too many messages": (
        {"messages": [USER] * (CAPS.messages + 1)},
        "messages",
        "`messages` must have at most 10000 entries",
    ),
    "a message is text": ({"messages": [USER, "Hi"]}, "messages[1]", "`messages[1]` must be an object"),
    "no role": ({"messages": [{"content": "Hi"}]}, "messages[0].role", ROLE),
    "a role nobody has": ({"messages": [{"role": "root"}]}, "messages[0].role", ROLE),
    "a role that is a list": ({"messages": [{"role": ["user"]}]}, "messages[0].role", ROLE),
    "content is a number": (
        {"messages": [{"role": "user", "content": 7}]},
        "messages[0].content",
        "`content` must be a string or a list",
    ),
    "a part is text": (
        {"messages": [{"role": "user", "content": ["Hi"]}]},
        "messages[0].content",
        "`messages[0].content` must be a list of objects",
    ),
    "a text part without text": (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content",
        "`messages[0].content.text` must be a string",
    ),
    "tools": ({"tools": {}}, "tools", "`tools` must be a list of objects"),
    "a tool is text": ({"tools": ["f"]}, "tools", "`tools` must be a list of objects"),
    "response_format": ({"response_format": "json"}, "response_format", "`response_format` must be an object"),
    "metadata": ({"metadata": "critique"}, "metadata", "`metadata` must be an object"),
    "task": ({"metadata": {"task": 1}}, "metadata.task", "`metadata.task` must be a string"),
    "complexity": ({"metadata": {"complexity": []}}, "metadata.complexity", "`metadata.complexity` must be a string"),
}


@pytest.mark.parametrize(("fields", "param", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_values(fields: dict[str, object], param: str, message: str) -> None:
    """Code invalid_value, the field as OpenAI names it, and what it must be."""
    error = refusal(orjson.dumps({**HELLO, **fields}))
    assert (error.code, error.param, error.message.partition(", got ")[0]) == ("invalid_value", param, message)


OTHERS = {
    "no prompt": (COMPLETION, {}, "prompt"),
    "prompt is empty": (COMPLETION, {"prompt": []}, "prompt"),
    "prompt is an object": (COMPLETION, {"prompt": {}}, "prompt"),
    "mixed token ids": (COMPLETION, {"prompt": [[1, "a"]]}, "prompt"),
    "no token ids": (COMPLETION, {"prompt": [[]]}, "prompt"),
    "true is no token id": (COMPLETION, {"prompt": [True]}, "prompt"),
    "no input": (EMBEDDINGS, {}, "input"),
    "input is a number in a float": (EMBEDDINGS, {"input": 1.5}, "input"),
    "embeddings as a stream": (EMBEDDINGS, {"input": "a", "stream": True}, "stream"),
}


@pytest.mark.parametrize(("operation", "fields", "param"), OTHERS.values(), ids=OTHERS.keys())
def test_wrong_values_of_other_operations(operation: Operation, fields: dict[str, object], param: str) -> None:
    """The same for completions and embeddings."""
    assert refusal(orjson.dumps({"model": "auto", **fields}), operation).param == param


@pytest.mark.parametrize(("name", "words"), [("spill", "'auto' or 'never'"), ("priority", "one of interactive, ")])
def test_a_word_in_a_header_that_nobody_knows(name: str, words: str) -> None:
    """A typing error there could cost money or time: it is refused, with the words allowed."""
    error = refusal(orjson.dumps(HELLO), headers={f"x-spillway-{name}".encode(): b"no"})
    assert error.param == f"x-spillway-{name}"
    assert error.message.startswith(f"`x-spillway-{name}` must be {words}")


def test_the_refusal_of_a_long_body() -> None:
    """413, with the limit in bytes."""
    error = too_large(1024)
    assert (error.status, error.code, error.message) == (413, "request_too_large", "the body is larger than 1024 bytes")


NAMES = [
    *("model", "messages", "role", "content", "type", "text", "stream", "stream_options", "include_usage", "n"),
    *("max_tokens", "tools", "response_format", "metadata", "task", "prompt", "input", "temperature"),
]
json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**63) | st.floats(allow_nan=False) | st.sampled_from([*NAMES, "user"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=15,
)
documents = st.builds(
    lambda base, fields: {**base, **fields},
    st.sampled_from([HELLO, {"model": "auto", "prompt": "x", "input": "x"}, {}]),
    st.dictionaries(st.sampled_from(NAMES), json, max_size=4),
)
header_maps = st.dictionaries(
    st.sampled_from([b"x-spillway-task", b"x-spillway-spill", b"x-stainless-read-timeout"]), st.binary(max_size=6)
)


@given(st.sampled_from(Operation), header_maps, documents.map(orjson.dumps) | st.binary(max_size=40))
@example(CHAT, {}, b'{"model":"a","messages":[{"role":"user","content":[{"type":["image"]}]}]}')
@example(CHAT, {b"x-stainless-read-timeout": b"\xb2"}, orjson.dumps(HELLO))
def test_nothing_but_a_refusal_is_ever_raised(operation: Operation, headers: dict[bytes, bytes], body: bytes) -> None:
    """Any bytes become a request within the limits, or a 400 with its four facts."""
    got: Decoded | RequestError
    try:
        got = decode(operation, headers, body, "acme", Caps())
    except RequestError as error:
        got = error
    if isinstance(got, RequestError):
        assert (got.status, got.should_retry) == (400, False)
        assert got.message
        assert got.param
    else:
        assert got.facts.text_bytes <= len(body) * 4
        assert 1 <= got.n <= Caps().choices
