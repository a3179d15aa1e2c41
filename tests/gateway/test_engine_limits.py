"""Fields that would cost an engine far more than their bytes."""

from __future__ import annotations

import pytest

from controller.config.settings import Caps
from controller.core.errors import RequestError
from controller.gateway.engine_limits import check

CAPS = Caps()
BOMBS: dict[str, tuple[str, object]] = {
    "a billion candidates": ("best_of", 10**9),
    "no candidate": ("best_of", 0),
    "candidates as text": ("best_of", "2"),
    "a billion logprobs": ("logprobs", 10**9),
    "a fraction of logprobs": ("top_logprobs", 1.5),
    "more logprobs than there are": ("top_logprobs", 21),
    "least tokens": ("min_tokens", 10**12),
    "less than no tokens": ("truncate_prompt_tokens", -2),
    "a bias for each token": ("logit_bias", {str(token): 1 for token in range(1025)}),
    "bad words": ("bad_words", ["x"] * 1025),
    "stops": ("stop", ["x"] * 129),
    "stop tokens": ("stop_token_ids", [1] * 1025),
    "allowed tokens": ("allowed_token_ids", [1] * 65_537),
    "choices": ("guided_choice", ["x"] * 1025),
    "a long expression": ("guided_regex", "a" * 4097),
    "counts in counts": ("guided_regex", "((a{1,200}){100}){2}"),
    "one count": ("guided_regex", "a{10001,}"),
    "a count of many digits": ("guided_regex", "a{" + "9" * 3000 + "}"),
    "a long grammar": ("guided_grammar", "a" * 65_537),
    "a structured expression": ("structured_outputs", {"regex": "(a{1000}){1000}"}),
    "structured choices": ("structured_outputs", {"choice": ["x"] * 1025}),
}
FINE: dict[str, tuple[str, object]] = {
    "candidates": ("best_of", 8),
    "logprobs of a chat": ("logprobs", True),
    "logprobs": ("logprobs", 5),
    "as long as the model takes": ("truncate_prompt_tokens", -1),
    "nothing": ("logit_bias", None),
    "a bias": ("logit_bias", {"50256": -100}),
    "one stop": ("stop", "\n"),
    "an expression": ("guided_regex", r"\d{4}-\d{2}-\d{2} (?:[a-z]{1,20}|x{,3}|y{2,}|{})"),
    "a structure": ("structured_outputs", {"regex": "a{1,100}", "json": {"type": "object"}, "choice": None}),
    "what is no expression": ("guided_regex", {"a": 1}),
    "what is no grammar": ("structured_outputs", {"grammar": 7}),
    "what is no structure": ("structured_outputs", "x"),
    "a field without a cap": ("temperature", 1),
}


@pytest.mark.parametrize(("name", "value"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused(name: str, value: object) -> None:
    """400 that names the field, and repeats nothing of a value that may be long."""
    with pytest.raises(RequestError) as caught:
        check({"model": "m", name: value}, CAPS)
    assert (caught.value.status, str(caught.value.param).split(".")[0]) == (400, name)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(("name", "value"), FINE.values(), ids=FINE)
def test_what_callers_ask_for_passes(name: str, value: object) -> None:
    """Usual values, null, and what has no cap."""
    check({"model": "m", name: value}, CAPS)
