"""What a replica has in its prefix cache."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.routing.prefix import prefixes
from controller.routing.warmth import ENTRIES_MAX, WarmPrefixes

SYSTEM = "s" * 400


def named(*texts: str) -> tuple[tuple[int, int], ...]:
    """A prompt's beginnings."""
    return prefixes("acme", texts)


def test_the_longest_beginning_held_counts() -> None:
    """A new question under a known system prompt saves the system prompt; the next turn saves all before it."""
    warm = WarmPrefixes(10_000)
    assert warm.tokens_of(named(SYSTEM, "q" * 40)) == 0
    warm.note(named(SYSTEM, "q" * 40))
    assert warm.tokens_of(named(SYSTEM, "other")) == 100
    assert warm.tokens_of(named(SYSTEM, "q" * 40, "answer", "next")) == 110
    assert warm.tokens_of(named("else")) == 0
    assert warm.tokens_of(()) == 0
    warm.forget()
    assert warm.tokens_of(named(SYSTEM)) == 0
    assert len(warm) == 0


def test_what_does_not_fit_the_cache_is_forgotten_oldest_first() -> None:
    """250 tokens of room: a third prompt of 100 drives out the first; a shared beginning in use stays."""
    warm = WarmPrefixes(250)
    warm.note(named(SYSTEM))
    warm.note(named("b" * 400))
    warm.note(named(SYSTEM, "q" * 4))
    warm.note(named("c" * 400))
    assert warm.tokens_of(named("b" * 400)) == 0
    assert warm.tokens_of(named(SYSTEM, "q" * 4)) == 101
    assert warm.tokens_of(named("c" * 400)) == 100


def test_a_prompt_s_end_goes_before_its_beginning() -> None:
    """As in the engine, which frees the last blocks first."""
    warm = WarmPrefixes(150)
    warm.note(named(SYSTEM, "q" * 120))
    warm.note(named("c" * 160))
    assert warm.tokens_of(named(SYSTEM, "q" * 120)) == 100


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400)), max_size=60))
def test_it_stays_within_its_bounds(plan: list[tuple[int, int]]) -> None:
    """Whatever is sent, what is held never passes the room."""
    warm = WarmPrefixes(300)
    for letter, size in plan:
        warm.note(named(str(letter) * size, "end"))
        held = [warm.tokens_of(named(str(number) * length)) for number in range(10) for length in {size, 400}]
        assert max(held) <= 300


def test_entries_are_bounded_too() -> None:
    """Many short prompts in a large cache."""
    warm = WarmPrefixes(10**9)
    for number in range(ENTRIES_MAX + 10):
        warm.note(((number + 1, 4),))
    assert len(warm) == ENTRIES_MAX
