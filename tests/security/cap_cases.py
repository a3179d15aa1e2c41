"""Requests of exactly so much, for every cap on a field of a body."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from controller.gateway.dialects.caller import Caller
from controller.gateway.dialects.messages_caller import MESSAGES_CALLER
from controller.gateway.dialects.responses_caller import RESPONSES_CALLER
from tests.gateway.gateway_builders import HELLO

Say = Callable[[int], Mapping[str, object]]
USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f"}}
ANYTHING = "told_to_nobody"  # a field that goes nowhere


def nested(depth: int) -> list[object]:
    """Lists within lists."""
    made: list[object] = []
    for _ in range(depth - 1):
        made = [made]
    return made


def bytes_of(fields: Mapping[str, object]) -> bytes:
    """A chat request."""
    return orjson.dumps({**HELLO, **fields})


def of_weight(weight: int) -> Mapping[str, object]:
    """So many values that the whole body weighs this much."""
    plain = bytes_of({ANYTHING: [7]})
    ours = plain.count(b",") + 10 * (plain.count(b"{") + plain.count(b"["))
    return {ANYTHING: [7] * (weight - ours + 1)}


# (cap, the field that is named, a request of so much)
FIELDS: list[tuple[str, str, Say]] = [
    ("json_depth", "body", lambda n: {ANYTHING: nested(n)}),
    ("json_weight", "body", of_weight),
    ("choices", "n", lambda n: {"n": n}),
    ("choices", "best_of", lambda n: {"best_of": n}),
    ("messages", "messages", lambda n: {"messages": [USER] * n}),
    ("tools", "tools", lambda n: {"tools": [TOOL] * n}),
    ("name_chars", "model", lambda n: {"model": "m" * n}),
    ("tokens", "max_tokens", lambda n: {"max_tokens": n}),
    ("tokens", "max_completion_tokens", lambda n: {"max_completion_tokens": n}),
    ("tokens", "min_tokens", lambda n: {"min_tokens": n}),
    ("tokens", "truncate_prompt_tokens", lambda n: {"truncate_prompt_tokens": n}),
    ("logprobs", "logprobs", lambda n: {"logprobs": n}),
    ("logprobs", "top_logprobs", lambda n: {"top_logprobs": n}),
    ("entries", "logit_bias", lambda n: {"logit_bias": {str(token): 1 for token in range(n)}}),
    ("entries", "bad_words", lambda n: {"bad_words": ["x"] * n}),
    ("entries", "stop_token_ids", lambda n: {"stop_token_ids": [1] * n}),
    ("entries", "guided_choice", lambda n: {"guided_choice": ["x"] * n}),
    ("entries", "structured_outputs.choice", lambda n: {"structured_outputs": {"choice": ["x"] * n}}),
    ("token_ids", "allowed_token_ids", lambda n: {"allowed_token_ids": [1] * n}),
    ("stops", "stop", lambda n: {"stop": ["x"] * n}),
    ("regex_chars", "guided_regex", lambda n: {"guided_regex": "a" * n}),
    ("regex_chars", "structured_outputs.regex", lambda n: {"structured_outputs": {"regex": "a" * n}}),
    ("regex_repeats", "guided_regex", lambda n: {"guided_regex": f"a{{1,{n}}}"}),
    ("grammar_chars", "guided_grammar", lambda n: {"guided_grammar": "a" * n}),
    ("grammar_chars", "structured_outputs.grammar", lambda n: {"structured_outputs": {"grammar": "a" * n}}),
]
# The same in the words of other callers.
TRANSLATED: list[tuple[str, Caller, str, Say]] = [
    ("messages", MESSAGES_CALLER, "messages", lambda n: {"max_tokens": 9, "messages": [USER] * n}),
    ("tokens", MESSAGES_CALLER, "max_tokens", lambda n: {"max_tokens": n, "messages": [USER]}),
    (
        "tools",
        MESSAGES_CALLER,
        "tools",
        lambda n: {"max_tokens": 9, "messages": [USER], "tools": [{"name": "f", "input_schema": {}}] * n},
    ),
    ("messages", RESPONSES_CALLER, "input", lambda n: {"input": [USER] * n}),
    ("tokens", RESPONSES_CALLER, "max_output_tokens", lambda n: {"input": "Hi", "max_output_tokens": n}),
    ("tools", RESPONSES_CALLER, "tools", lambda n: {"input": "Hi", "tools": [{"type": "function", "name": "f"}] * n}),
    (
        "name_chars",
        RESPONSES_CALLER,
        "tools[0].name",
        lambda n: {"input": "Hi", "tools": [{"type": "function", "name": "f" * n}]},
    ),
]
