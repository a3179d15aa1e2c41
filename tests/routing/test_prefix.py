"""The names of the beginnings of a prompt."""

from __future__ import annotations

import subprocess
import sys
from timeit import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.routing.prefix import BLOCK_ENDS_CHARS, FIRST_KEPT, LAST_KEPT, prefixes


def names(*texts: str, tenant: str = "acme") -> list[int]:
    """Without the lengths."""
    return [name for name, _ in prefixes(tenant, texts)]


def test_a_growing_conversation_finds_what_it_was() -> None:
    """All of the last request is a beginning of the next, which adds an answer and a question."""
    told = ["you are terse", "what is a pool?"]
    for turn in range(30):
        before = names(*told)
        told += [f"answer {turn}", f"question {turn}"]
        now = names(*told)
        assert before[-1] in now[:-1]
        assert before[0] == now[0]
        assert len(now) <= FIRST_KEPT + LAST_KEPT


def test_long_texts_have_beginnings_inside() -> None:
    """Two prompts of one template and different ends share the blocks up to where they part."""
    template = "t" * BLOCK_ENDS_CHARS[1]
    one, other = prefixes("acme", [template + "a" * 40_000]), prefixes("acme", [template + "b" * 40_000])
    assert [length for _, length in one] == [*BLOCK_ENDS_CHARS, 48_192]
    assert one[:2] == other[:2]
    assert not set(one[2:]) & set(other[2:])
    assert names(template, "a") != names(template + "a")


@pytest.mark.parametrize("size", [1, 2_048, 2_049, 8_192, 32_768, 32_769, 40_000])
def test_a_change_anywhere_up_to_the_last_block_or_at_the_end_changes_the_name(size: int) -> None:
    """First and last character, and the length, always count."""
    text = "x" * size
    whole = names(text)[-1]
    assert names("y" + text[1:])[-1] != whole
    assert names(text[:-1] + "y")[-1] != whole
    assert names(text + "x")[-1] != whole


def test_no_two_tenants_share_a_name() -> None:
    """Nothing of one tenant's traffic can be seen in another's routing."""
    texts = ["s" * 10_000, "u"]
    assert not set(names(*texts)) & set(names(*texts, tenant="other"))


def test_names_are_the_same_in_every_process() -> None:
    """All gateways agree, whatever their hash seed."""
    code = "from controller.routing.prefix import prefixes; print(prefixes('acme', ['a', 'b' * 5000]))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert told.stdout.strip() == str(prefixes("acme", ["a", "b" * 5000]))


def test_no_text_has_no_beginning() -> None:
    """Token ids, for one."""
    assert prefixes("acme", []) == ()


@given(st.lists(st.text(max_size=30) | st.just("long" * 3_000), max_size=14), st.text(max_size=9))
def test_beginnings_grow(texts: list[str], tenant: str) -> None:
    """Lengths never fall, names fit 64 bits, there are at most nine, surrogates do no harm."""
    found = prefixes(tenant, [*texts, "\ud800"])
    lengths = [length for _, length in found]
    assert lengths == sorted(lengths)
    assert lengths[-1] == sum(map(len, texts)) + 1
    assert all(0 <= name < 1 << 64 for name, _ in found)
    assert len(found) <= FIRST_KEPT + LAST_KEPT


def test_naming_costs_microseconds() -> None:
    """1.2 us for a system prompt of 1,000 characters and a question; the bar is loose, to hold on a busy machine."""
    texts = ["s" * 1000, "u" * 200]
    best_s = min(repeat(lambda: prefixes("acme", texts), number=500, repeat=20)) / 500
    assert best_s < 25e-6
