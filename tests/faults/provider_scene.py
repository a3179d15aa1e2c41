"""What the rows of group C have in common: two providers with keys of their own, and who answered."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.caller import ANSWERED, Told
from tests.faults.gateway_process import Setup, key_variable
from tests.faults.world import World

FIRST, SPARE = "stub-first", "stub-spare"
BOTH = {FIRST: "openai", SPARE: "openai"}
PATIENT_LEDGER = {"timeouts": {"ledger_s": 5.0}}  # other rows judge how quick the disk is


def sources(*told: Told) -> set[str]:
    """Who answered."""
    return {name for one in told for source in one.sources for name in (FIRST, SPARE) if source.endswith(name)}


def all_answered(told: Sequence[Told]) -> None:
    """No request was lost."""
    bad = [(one.end, one.status, one.body[:300]) for one in told if one.end != ANSWERED]
    assert not bad, bad[0]


def setup_of(*names: str, **changes: object) -> Setup:
    """Each provider has a key of its own: names that share one would rest together."""
    return Setup(
        changes={"gateway": PATIENT_LEDGER, **changes},
        environ={key_variable(name): f"key-of-{name}" for name in names},
    )


async def asked(here: World, count: int = 1, **options: object) -> int:
    """How often the first provider was called for so many requests, all of which were answered."""
    before = len(here.providers[0].calls)
    all_answered(await here.ask_many(count, model=FIRST, **options))
    return len(here.providers[0].calls) - before
