"""Which Events a change of status is worth, and when a status is written at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pool_values import NOW_S, error, pin_word, status_of, view

from controller.core.fleet import PoolView, RoutingMode
from controller.modelpool.events import events_of
from controller.modelpool.facts import Obstacle, Trouble
from controller.modelpool.status import Status
from controller.modelpool.writes import FIGURES_EVERY_S, SHARE_EVERY_S, WORDS_EVERY_S, needs_write, seen_at_once

CALM = view()
SPILLS = view(mode=RoutingMode.SPILLING, spill_ratio=0.2, mode_reason="saturated: 0.95 >= 0.90")
ALL_LEAVES = replace(SPILLS, mode=RoutingMode.EXTERNAL, spill_ratio=1.0)
SHORT = replace(CALM, missing_replicas=1)
BAD = error()
STARTED, ENDED = ("Warning", "SpillStarted", "Route"), ("Normal", "SpillEnded", "Route")
INVALID, GROWN = ("Warning", "InvalidSpec", "Reconcile"), ("Normal", "ScaledUp", "Scale")
QUOTA = Trouble(obstacle=Obstacle.QUOTA_EXCEEDED, message="exceeded quota: gpus")
NO_KEY = error("spec.spill.to[0]", "is dead", "warning")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, status_of(CALM), []),
        (None, status_of(problems=(BAD,)), [INVALID]),
        (status_of(CALM), status_of(SPILLS), [STARTED]),
        (status_of(SPILLS), status_of(CALM), [ENDED]),
        (status_of(SPILLS), status_of(ALL_LEAVES), [("Warning", "AllExternal", "Route")]),
        (status_of(CALM), status_of(view(1, 2)), [GROWN]),
        (status_of(view(3)), status_of(view(1, wanted_reason="")), [("Normal", "ScaledDown", "Scale")]),
        (status_of(CALM), status_of(view(desired_replicas=None)), []),
        (status_of(CALM), status_of(CALM, problems=(BAD,)), [INVALID]),
        (status_of(problems=(BAD,)), status_of(problems=(BAD,), generation=2), [INVALID]),
        (status_of(problems=(BAD,)), status_of(CALM), [("Normal", "Recovered", "Reconcile")]),
        (status_of(CALM), status_of(CALM, troubles=(QUOTA,)), [("Warning", "QuotaExceeded", "Reconcile")]),
        (status_of(CALM), status_of(SHORT), [("Warning", "CapacityUnavailable", "Start")]),
        (status_of(SHORT), status_of(CALM), [("Normal", "CapacitySuffices", "Start")]),
        (status_of(CALM), status_of(CALM, pin=pin_word()), [("Normal", "Pinned", "Pin")]),
        (status_of(CALM, pin=pin_word()), status_of(CALM, pin=pin_word(replicas=3)), [("Normal", "Pinned", "Pin")]),
        (status_of(CALM, pin=pin_word()), status_of(CALM, pin=pin_word(NOW_S)), [("Normal", "PinExpired", "Pin")]),
        (status_of(CALM, pin=pin_word()), status_of(CALM), [("Normal", "Unpinned", "Pin")]),
        (status_of(CALM), status_of(CALM, problems=(NO_KEY,)), [("Warning", "TargetUnusable", "Validate")]),
        (status_of(CALM, problems=(NO_KEY,)), status_of(CALM, problems=(NO_KEY,)), []),
        (status_of(SPILLS, problems=(NO_KEY,)), status_of(CALM, problems=(NO_KEY,)), [ENDED]),
        (status_of(CALM), status_of(replace(SPILLS, desired_replicas=3)), [STARTED, GROWN]),
    ],
)
def test_what_a_change_is_worth(before: Status | None, after: Status, expected: list[tuple[str, str, str]]) -> None:
    """One Event for each thing that has changed."""
    assert [(one.type, one.reason, one.action) for one in events_of(before, after)] == expected


def test_notes_say_from_what_to_what_and_why() -> None:
    """As `kubectl describe` shows them."""
    routed, scaled = events_of(status_of(CALM), status_of(replace(SPILLS, desired_replicas=3)))
    assert routed.note == "Routing went from Local to Spilling: saturated: 0.95 >= 0.90."
    assert scaled.note == "Desired replicas went from 1 to 3: demand 0.50 at target 0.95."


@pytest.mark.parametrize(
    "after",
    [
        status_of(SPILLS),
        status_of(replace(SPILLS, spill_ratio=0.3)),
        status_of(view(2)),
        status_of(replace(CALM, saturation_ratio=0.8)),
        status_of(CALM, generation=2),
        status_of(CALM, pin=pin_word()),
        status_of(CALM, selector="app=b"),
        status_of(replace(CALM, cold_starts_s=(30.0,))),
        status_of(CALM, troubles=(QUOTA,)),
    ],
    ids=["mode", "share", "counts", "saturation", "generation", "pin", "selector", "cold-starts", "condition"],
)
def test_what_others_act_on_is_written_at_once(after: Status) -> None:
    """However little time has passed."""
    assert needs_write(status_of(CALM), after, written_at_s=NOW_S, now_s=NOW_S)


@pytest.mark.parametrize(
    "after",
    [SPILLS, replace(SPILLS, spill_ratio=0.3), view(2), replace(CALM, saturation_ratio=0.8), None],
    ids=["mode", "share", "counts", "saturation", "nothing-known"],
)
def test_what_others_act_on_is_seen_at_once(after: PoolView | None) -> None:
    """Before a status is made of it."""
    assert seen_at_once(after) != seen_at_once(CALM)


def test_the_first_status_is_written() -> None:
    """Nothing is known of an earlier one."""
    assert needs_write(None, status_of(CALM), written_at_s=0.0, now_s=NOW_S)


@pytest.mark.parametrize(
    ("words", "waits_s"),
    [("nearly full, and demand fits", WORDS_EVERY_S), ("demand 0.51 at target 0.95", FIGURES_EVERY_S)],
    ids=["other-words", "other-figures"],
)
def test_words_wait_and_figures_wait_longer(words: str, waits_s: float) -> None:
    """An idle pool whose reason has a figure that trembles costs one call in five minutes."""
    before, after = status_of(CALM), status_of(replace(CALM, wanted_reason=words))
    assert not needs_write(before, after, written_at_s=NOW_S, now_s=NOW_S + waits_s - 1)
    assert needs_write(before, after, written_at_s=NOW_S, now_s=NOW_S + waits_s)
    assert needs_write(before, after, written_at_s=NOW_S, now_s=NOW_S - waits_s)


@pytest.mark.parametrize(
    ("share", "then", "at_once"),
    [
        (0.2, 0.25, True),
        (0.2, 0.24, False),
        (0.2, 0.15, True),
        (0.2, 0.19, False),
        (0.98, 1.0, True),
        (0.02, 0.0, True),
    ],
)
def test_a_share_that_trembles_waits(share: float, then: float, at_once: bool) -> None:
    """Five points, everything and nothing are written at once; less after ten seconds, whichever way the clock goes."""
    before, after = status_of(replace(SPILLS, spill_ratio=share)), status_of(replace(SPILLS, spill_ratio=then))
    assert needs_write(before, after, written_at_s=NOW_S, now_s=NOW_S + SHARE_EVERY_S - 1) == at_once
    assert needs_write(before, after, written_at_s=NOW_S, now_s=NOW_S + SHARE_EVERY_S)
    assert needs_write(before, after, written_at_s=NOW_S, now_s=NOW_S - SHARE_EVERY_S)


def test_a_fleet_whose_shares_all_tremble_is_written_seldom() -> None:
    """A pool whose share moves by two points each second for ten minutes costs at most one call in ten seconds."""
    written, written_at_s, calls = status_of(SPILLS), NOW_S, 0
    for second in range(600):
        status = status_of(replace(SPILLS, spill_ratio=0.2 + 0.02 * (second % 2)))
        if needs_write(written, status, written_at_s=written_at_s, now_s=NOW_S + second):
            written, written_at_s, calls = status, NOW_S + second, calls + 1
    assert calls <= 600 / SHARE_EVERY_S


def test_nothing_new_is_never_written() -> None:
    """Not in a day."""
    assert not needs_write(status_of(CALM), status_of(CALM), written_at_s=NOW_S, now_s=NOW_S + 86_400)
