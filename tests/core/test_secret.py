"""A secret tells its text to who asks for it, and to nobody else."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from controller.core.secret import HIDDEN, Secret

TEXT = "sk-canary"


def test_it_is_revealed_on_demand() -> None:
    """The very text; two of one text are one."""
    assert Secret(TEXT).reveal() == TEXT
    assert Secret(TEXT) == Secret(TEXT) != Secret("sk-other")
    assert {Secret(TEXT): 1}[Secret(TEXT)] == 1
    assert Secret(TEXT) != TEXT
    assert (bool(Secret(TEXT)), bool(Secret(""))) == (True, False)
    assert Secret("k\u00e9y") == Secret("k\u00e9y")


@pytest.mark.parametrize(
    "shown",
    [repr, str, lambda it: f"{it}", lambda it: f"{it:>40}", lambda it: str({"key": (it,)})],
    ids=["repr", "str", "f-string", "format", "inside"],
)
def test_it_is_not_told(shown: object) -> None:
    """However it is shown."""
    told = shown(Secret(TEXT))  # type: ignore[operator] # each is a function
    assert TEXT not in told
    assert HIDDEN in told


def test_it_is_not_written_down() -> None:
    """Neither pickled nor copied, and a traceback with all locals has none of it."""
    secret = Secret(TEXT)
    for way in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            way(secret)
    with pytest.raises(ValueError, match="Secret") as caught:
        raise ValueError(secret)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert TEXT not in "".join(shown.format())
