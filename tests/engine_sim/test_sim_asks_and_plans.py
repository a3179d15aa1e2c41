"""Reading requests and planning answers: lengths, stop texts, tools, schemas, limits."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from controller.engine_sim.anthropic import read_messages
from controller.engine_sim.asks import Ask, Refusal, parse_json, read_chat, read_completion
from controller.engine_sim.limits import RateLimit
from controller.engine_sim.measures import Histogram
from controller.engine_sim.plans import plan
from controller.engine_sim.text import block_hashes, count_tokens, instance_of, seed_of, words

USER = {"role": "user", "content": "Please use the tool now"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "required": ["a"]}}}


def _chat(**fields: object) -> Ask:
    return read_chat({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields})


@pytest.mark.parametrize(("text", "tokens"), [("", 1), ("abcd", 1), ("abcde", 2), ("ü" * 4, 2)])
def test_a_token_is_four_bytes(text: str, tokens: int) -> None:
    """Counted in UTF-8, at least one."""
    assert count_tokens(text.encode()) == tokens


@pytest.mark.parametrize(
    ("fields", "tokens", "reason"),
    [
        ({"max_tokens": 5}, 5, "length"),
        ({"max_completion_tokens": 6}, 6, "length"),
        ({"max_tokens": 900, "ignore_eos": True}, 500, "length"),
        ({"ignore_eos": True}, 500, "length"),
        ({"max_tokens": 400, "min_tokens": 390}, 390, "stop"),
    ],
    ids=["max_tokens", "max_completion_tokens", "clipped to the context", "whole context", "min_tokens"],
)
def test_the_length_of_an_answer(fields: dict[str, object], tokens: int, reason: str) -> None:
    """Limits, context and vLLM's extra parameters decide it."""
    ask = _chat(**fields)
    planned = plan(ask, ask.prompts[0], 0, room_tokens=500)
    assert (len(planned.pieces), planned.reason) == (tokens, reason)


def test_a_stop_text_ends_the_answer_before_it() -> None:
    """Its tokens count, its text is not shown."""
    free = _chat(max_tokens=50, ignore_eos=True)
    text = plan(free, free.prompts[0], 0, room_tokens=100).text
    word = text.split()[7]
    stopped = _chat(max_tokens=50, ignore_eos=True, stop=[" " + word])
    planned = plan(stopped, stopped.prompts[0], 0, room_tokens=100)
    assert (planned.reason, planned.stopped_by) == ("stop", " " + word)
    assert planned.text == text[: text.index(" " + word)]
    assert 0 < len(planned.pieces) <= 8


def test_a_stop_text_across_two_tokens_is_found() -> None:
    """The pieces are searched as one text."""
    free = _chat(max_tokens=50, ignore_eos=True)
    text = plan(free, free.prompts[0], 0, room_tokens=100).text
    second, third = text.split()[2:4]
    stopped = _chat(max_tokens=50, ignore_eos=True, stop=f"{second} {third}")
    planned = plan(stopped, stopped.prompts[0], 0, room_tokens=100)
    assert planned.reason == "stop"
    assert f"{second} {third}" not in planned.text


def test_choices_and_seeds_differ() -> None:
    """Two choices of one prompt are two answers, each repeatable."""
    ask = _chat(n=2, seed=3)
    first, second = (plan(ask, ask.prompts[0], index, room_tokens=300) for index in (0, 1))
    assert first != second
    assert first == plan(ask, ask.prompts[0], 0, room_tokens=300)
    assert list(islice(words(seed_of(b"x", None, 0)), 5)) == list(islice(words(seed_of(b"x", None, 0)), 5))


@pytest.mark.parametrize(
    ("fields", "called"),
    [
        ({"tools": [TOOL], "tool_choice": "required"}, True),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}, True),
        ({"tools": [TOOL]}, False),
        ({"tools": [TOOL], "messages": [USER]}, True),
        ({"tools": [TOOL], "messages": [USER], "tool_choice": "none"}, False),
        ({"tools": []}, False),
        ({"tools": "x"}, False),
    ],
    ids=["required", "named", "auto", "auto and asked", "none", "no tools", "not a list"],
)
def test_when_a_tool_is_called(fields: dict[str, object], called: bool) -> None:
    """By choice, or under auto when the user says the words."""
    assert bool(_chat(**fields).tools) is called


SECOND = {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}
EVERY = [{"role": "user", "content": "Use every tool, but think first."}]


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({}, ["reasoning", "tool", "tool"]),
        ({"parallel_tool_calls": False}, ["reasoning", "tool"]),
        ({"max_tokens": 9}, ["reasoning", "tool"]),
        ({"max_tokens": 3}, ["reasoning"]),
        ({"tool_choice": "none"}, ["reasoning", "text"]),
    ],
    ids=["at once", "one at a time", "cut in a call", "cut in thought", "none"],
)
def test_the_parts_of_an_answer(fields: dict[str, object], kinds: list[str]) -> None:
    """Reasoning, then a call of each tool; together they are all of its tokens."""
    ask = _chat(messages=EVERY, tools=[TOOL, SECOND], **fields)
    planned = plan(ask, ask.prompts[0], 0, room_tokens=200)
    assert [part.kind for part in planned.parts] == kinds
    assert "".join(planned.text_of(part) for part in planned.parts) == planned.text
    assert planned.parts[-1].end == len(planned.pieces)


def test_tool_arguments_cut_by_the_limit_end_with_length() -> None:
    """A limit below the arguments cuts them."""
    ask = _chat(tools=[TOOL], tool_choice="required", max_tokens=2)
    assert plan(ask, ask.prompts[0], 0, room_tokens=100).reason == "length"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 1),
        ({"type": ["string", "null"]}, "simulated"),
        ({"enum": ["red", "blue"]}, "red"),
        ({"type": "array", "items": {"type": "boolean"}}, [True]),
        ({"properties": {"a": {"type": "number"}, "b": {}}, "required": ["a"]}, {"a": 1.5}),
        ({"type": "object", "properties": {"a": {"type": "null"}}}, {"a": None}),
        (None, "simulated"),
    ],
)
def test_values_fit_their_schema(schema: object, value: object) -> None:
    """Types, enums, required properties."""
    assert instance_of(schema) == value


def test_a_schema_that_nests_for_ever_ends() -> None:
    """Depth is bounded."""
    schema: dict[str, object] = {"type": "array"}
    schema["items"] = schema
    assert json.dumps(instance_of(schema)).count("[") < 20


def test_prefix_hashes_cover_all_before_them() -> None:
    """A change in the first block changes every hash; another salt shares none."""
    one, two = b"a" * 256, b"b" + b"a" * 255
    assert len(block_hashes(one, "", 16)) == 4
    assert not set(block_hashes(one, "", 16)) & set(block_hashes(two, "", 16))
    assert not set(block_hashes(one, "", 16)) & set(block_hashes(one, "salt", 16))
    assert block_hashes(one + b"tail", "", 16)[:4] == block_hashes(one, "", 16)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"[" * 100_000, b'{"a": NaN}', b"\xff"], ids=range(7))
def test_broken_bodies_are_refused(body: bytes) -> None:
    """400 whatever is wrong with it."""
    with pytest.raises(Refusal) as refused:
        parse_json(body)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": None}, {"prompt": ""}, {"prompt": []}, {"prompt": [[]]}, {"prompt": {"a": 1}},
        {"prompt": "x", "max_tokens": 4, "min_tokens": 5}, {"prompt": "x", "temperature": "hot"},
        {"prompt": "x", "n": True}, {"prompt": "x", "seed": 1.5},
    ],
    ids=range(9),
)  # fmt: skip
def test_impossible_completions_are_refused(fields: dict[str, object]) -> None:
    """Each with 400."""
    with pytest.raises(Refusal) as refused:
        read_completion({"model": "m", **fields})
    assert refused.value.status == 400


def test_anthropic_system_text_counts_as_input() -> None:
    """A system prompt makes the input longer; images cost their flat price."""
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    plain = read_messages(body).prompts[0].tokens
    assert read_messages({**body, "system": "x" * 400}).prompts[0].tokens >= plain + 100
    image = {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x/"}}]}
    assert read_messages({**body, "messages": [image]}).prompts[0].tokens > 800


def test_a_rate_limit_saves_up_ten_seconds() -> None:
    """60 a minute: ten at once, then one a second; keys have limits of their own."""
    limit = RateLimit(per_min=60)
    assert [limit.take("a", 0.0) for _ in range(10)] == [0.0] * 10
    assert limit.take("a", 0.0) == pytest.approx(1.0)
    assert limit.take("b", 0.0) == 0.0
    assert limit.take("a", 1.0) == 0.0
    assert limit.take("a", 1.5) == pytest.approx(0.5)


def test_a_histogram_counts_cumulatively() -> None:
    """A value on a bound belongs to it."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    text = "".join(histogram.lines("x", 'a="b"'))
    assert 'x_bucket{a="b",le="1.0"} 2.0' in text
    assert 'x_bucket{a="b",le="2.0"} 3.0' in text
    assert 'x_bucket{a="b",le="+Inf"} 4.0' in text
    assert 'x_sum{a="b"} 12.0' in text
