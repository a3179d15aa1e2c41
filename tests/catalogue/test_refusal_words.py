"""How a value and a suggestion are worded in a refusal."""

from __future__ import annotations

import pytest

from controller.catalogue.document import Document, key_words
from controller.catalogue.refusals import BUILT_IN, ENVIRONMENT, did_you_mean, problem_at, shown


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("port", None, None),
        ("port", 9000, "9000"),
        ("enabled", True, "true"),
        ("host", "", "''"),
        ("host", "two\nlines\x1b[31m", "two lines [31m"),
        ("host", "x" * 80, "x" * 80),
        ("host", "x" * 81, "x" * 77 + "..."),
        ("max_model_len_tokens", "8k", "8k"),
        ("context_tokens", 5, "5"),
        ("weights", "task-specific", "task-specific"),
    ],
    ids=["none", "number", "switch", "empty", "unprintable", "80", "81", "count-of-tokens", "tokens", "sk-inside"],
)
def test_a_value_is_shown_on_one_short_line(key: str, value: object, words: str | None) -> None:
    """As YAML writes it, shortened, without control characters."""
    assert shown((key,), value) == words


@pytest.mark.parametrize(
    "key", ["api_key", "OPENAI_API_KEY", "keys", "secret", "client_secrets", "password", "HF_TOKEN", "api_key_env"]
)
@pytest.mark.parametrize("value", ["plain", 12345, True], ids=["text", "number", "switch"])
def test_the_value_of_a_secret_is_hidden_by_its_key(key: str, value: object) -> None:
    """Whatever its type."""
    assert shown(("providers", "openai", key), value) == "***"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("sk-proj-0123456789", "***"),
        ("gsk_0123456789", "***"),
        ("hf_0123456789", "***"),
        ("sp-0123456789-0123456789", "***"),
        ("Bearer sk-ant-0123456789", "Bearer ***"),
        ("http://me:pass@gpu-1:8000/v1", "http://***@gpu-1:8000/v1"),
        ("https://api.example.com/v1?key=pass", "https://api.example.com/v1?key=***"),
    ],
)
def test_a_secret_is_hidden_by_its_look(value: str, words: str) -> None:
    """Wherever it was put by mistake."""
    assert shown(("host",), value) == words


@pytest.mark.parametrize(
    ("word", "hint"),
    [("gpt-4", "; did you mean gpt-4o?"), ("gpt4o", "; did you mean gpt-4o?"), ("zzz", ""), ("", "")],
)
def test_the_closest_word_is_suggested_if_any_is_close(word: str, hint: str) -> None:
    """At most one."""
    assert did_you_mean(word, ["gpt-4o", "claude"]) == hint


@pytest.mark.parametrize(
    ("place", "line", "file"),
    [
        (("gateway", "port"), 3, "a.yaml"),
        (("gateway", "host"), 2, "a.yaml"),
        (("pools", 0), None, BUILT_IN),
    ],
    ids=["the-key", "the-section-above", "not-in-the-file"],
)
def test_a_problem_stands_where_the_file_has_it(place: tuple[str | int, ...], line: int | None, file: str) -> None:
    """On the line of the key or of the section it is missing in; else it comes from the defaults."""
    document = Document(file="a.yaml", lines={("gateway",): 2, ("gateway", "port"): 3})
    problem = problem_at(document, place, "is wrong", "something else")
    assert (problem.file, problem.line) == (file, line)


def test_a_variable_stands_in_the_environment() -> None:
    """It has no line."""
    problem = problem_at(ENVIRONMENT, ("AI_PHASE",), "is wrong", "something else", "x")
    assert str(problem) == "environment: AI_PHASE: is wrong (got x); allowed: something else"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((), "spillway.yaml"),
        (("pools", 0, "spill", "to", 1), "pools[0].spill.to[1]"),
        (("models", "a.b"), "models.a.b"),
    ],
    ids=["top", "lists", "dots"],
)
def test_a_place_is_written_as_a_path(place: tuple[str | int, ...], words: str) -> None:
    """Dots for keys, brackets for list indices."""
    assert key_words(place) == words
