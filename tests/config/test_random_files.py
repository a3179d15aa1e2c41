"""Whatever the file says, checking it tells problems and never breaks."""

from __future__ import annotations

import copy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_files import KEYS, TODAY
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.config.check import examine

DEFAULT = yaml.safe_load(files("controller.config").joinpath("default.yaml").read_text(encoding="utf-8"))
GATEWAY = {"port": 9000, "caps": {"choices": 2}, "timeouts": {"ttft_s": 1.0}}
WHOLE = {**DEFAULT, "gateway": GATEWAY, "rules": {"table": [{"model": "gpt-4o"}], "default_model": "gpt-4o"}}
KEYS_AND_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.sampled_from(["gpt-4o", "llama-8b-self", "self-hosted", "phase3", "*", ""]),
)
VALUES = st.recursive(
    KEYS_AND_VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS_AND_VALUES, inner, max_size=3),
    max_leaves=5,
)


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in ((*place, key), *_places(item, (*place, key)))]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for all examples."""
    return tmp_path_factory.mktemp("random") / "spillway.yaml"


@settings(max_examples=60, deadline=None)
@given(place=st.sampled_from(_places(WHOLE)), value=VALUES)
def test_any_value_anywhere_is_read_or_refused(file: Path, place: tuple[Any, ...], value: Any) -> None:
    """There are settings exactly when there is no error; every problem says a key and what is allowed."""
    content = copy.deepcopy(WHOLE)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    found, problems = examine(file, KEYS, TODAY)
    assert (found is None) == any(problem.severity == "error" for problem in problems)
    assert all(problem.key and problem.allowed and problem.message for problem in problems)


@settings(max_examples=60, deadline=None)
@given(
    raw=st.one_of(st.binary(max_size=60), st.text(alphabet="{}[]:&*!?|>-,# \n\t'\"ab1~<", max_size=30).map(str.encode))
)
def test_any_bytes_are_read_or_refused(file: Path, raw: bytes) -> None:
    """As above, from the bytes on."""
    file.write_bytes(raw)
    found, problems = examine(file, KEYS, TODAY)
    assert (found is None) == any(problem.severity == "error" for problem in problems)
