"""Where conversations are."""

from __future__ import annotations

from controller.core.requests import Target
from controller.routing.conversations import ENTRIES_MAX, IDLE_S, Conversations, Place, resumed
from controller.routing.prefix import prefixes

from .builders import MODELS, POOLS, PROVIDERS

FIRST = ("system", "question")
NEXT = (*FIRST, "answer", "next question")


def at(target: str = "pool", replica_id: str | None = "r1", at_s: float = 0.0) -> Place:
    """Where a turn was answered."""
    return Place(target=target, replica_id=replica_id, at_s=at_s)


def place_after(
    *turns: tuple[str, ...], now: tuple[str, ...], now_s: float = 1.0, tenant: str = "acme"
) -> Place | None:
    """Where the turn `now` finds the last one of `turns`; each was answered by the replica of its number."""
    known = Conversations()
    for number, turn in enumerate(turns):
        known.answered(prefixes("acme", turn), at(replica_id=f"r{number}"))
    return known.place_of(prefixes(tenant, now), now_s)


def test_the_next_turn_finds_the_one_before() -> None:
    """By the whole prompt that it continues, over any number of turns, with a question of several parts."""
    found = place_after(FIRST, now=NEXT)
    assert found is not None
    assert found.replica_id == "r0"
    third = (*NEXT, "answer", "part", "part")
    found = place_after(FIRST, NEXT, now=third)
    assert found is not None
    assert found.replica_id == "r1"


def test_what_is_no_continuation() -> None:
    """The same prompt again, a shared system prompt, one text more, another tenant, another answer's conversation."""
    assert place_after(FIRST, now=FIRST) is None
    assert place_after(FIRST, now=("system", "other", "answer", "next")) is None
    assert place_after(FIRST, now=(*FIRST, "more")) is None
    assert place_after(FIRST, now=NEXT, tenant="other") is None
    assert place_after(now=NEXT) is None
    assert place_after((), now=NEXT) is None


def test_an_idle_conversation_is_over() -> None:
    """Ten minutes after its last answer."""
    assert place_after(FIRST, now=NEXT, now_s=IDLE_S - 1.0) is not None
    assert place_after(FIRST, now=NEXT, now_s=IDLE_S) is None


def test_conversations_are_bounded() -> None:
    """The oldest are forgotten first."""
    known = Conversations()
    for number in range(ENTRIES_MAX + 3):
        known.answered(((number + 1, 1),), at())
    assert len(known) == ENTRIES_MAX


def test_the_external_target_of_the_last_turn_goes_first() -> None:
    """Only one that is in the chain of this turn; an own pool is no reason to change it."""
    own = Target(model=MODELS["llama-8b-self"], pool=POOLS["llama-8b"], provider=None, reason="rule")
    groq = Target(model=MODELS["gpt-oss-20b-groq"], pool=None, provider=PROVIDERS["groq"], reason="fallback")
    gpt = Target(model=MODELS["gpt-4o"], pool=None, provider=PROVIDERS["openai"], reason="fallback")
    chain = (own, groq, gpt)
    moved = resumed(chain, at("openai"))
    assert [target.name for target in moved] == ["openai", "llama-8b", "groq"]
    assert moved[0].reason == "the conversation is there; fallback"
    assert resumed(chain, at("llama-8b")) == chain
    assert resumed(chain, at("together")) == chain
