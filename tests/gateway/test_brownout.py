"""A provider that is slow to begin is left for the next target; the last one has the whole time."""

from __future__ import annotations

import pytest

from tests.gateway.gateway_builders import SetFleet, fleet
from tests.gateway.gateway_world import DONE, EVENT, LAST, Answer, Heard, World, stream


def late_by(seconds: float) -> Answer:
    """A stream whose first token comes so late."""
    return stream(seconds, EVENT, LAST, DONE)


def ask(*script: Answer) -> tuple[Heard, list[str]]:
    """One stream to a pool without a replica, which spills to two providers; and what became of each try."""
    world = World(feed=SetFleet(fleet()))
    world.external.script = list(script)
    heard = world.heard({"stream": True})
    return heard, [attempt.outcome for attempt in world.ledger.posted[0].attempts]


@pytest.mark.parametrize("seconds", [21.0, 55.0])
def test_the_next_target_is_tried(seconds: float) -> None:
    """Within the limit for providers; the caller gets one whole answer from who is quicker."""
    heard, outcomes = ask(late_by(seconds), late_by(0.1))
    assert (heard.status, heard.body) == (200, EVENT + LAST + DONE)
    assert 20.0 <= heard.took_s < 21.0
    assert outcomes == ["ttft timeout after 20 s", "answered"]


def test_one_that_is_slow_but_not_late() -> None:
    """Is waited for."""
    heard, outcomes = ask(late_by(19.0))
    assert (heard.status, outcomes) == (200, ["answered"])


def test_the_last_target_has_the_whole_time() -> None:
    """A late answer is better than none."""
    heard, outcomes = ask(late_by(21.0), late_by(38.0))
    assert (heard.status, outcomes[-1]) == (200, "answered")
