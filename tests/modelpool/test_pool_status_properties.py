"""What holds of every status, whatever the view: it is valid, it does not flap, and a gateway can go by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from pool_cases import schema
from pool_values import NAME, any_facts, views

from controller.core.fleet import PoolView, RoutingMode
from controller.modelpool.events import NOTE_CHARS, events_of
from controller.modelpool.facts import PoolFacts
from controller.modelpool.findings import TYPES
from controller.modelpool.objects import entries, instant
from controller.modelpool.status import BUCKET_PERCENT, SLACK_PERCENT, pool_status, saturation_percent
from controller.modelpool.views import view_from_status
from controller.modelpool.writes import needs_write, seen_at_once

VALID = Draft202012Validator(schema()["properties"]["status"], format_checker=FormatChecker())
_instants = st.floats(1, 4e9)


def _times(status: Any) -> list[tuple[str, float | None]]:
    return [(one["status"], instant(one["lastTransitionTime"])) for one in entries(status, "conditions")]


@settings(max_examples=50)
@given(any_facts, st.none() | views(), _instants)
def test_every_status_is_one_that_the_api_takes(facts: PoolFacts, view: PoolView | None, now_s: float) -> None:
    """Within all bounds of the schema, with every condition, each of this generation."""
    status = pool_status(facts, view, None, now_s)
    assert [found.message for found in VALID.iter_errors(status)] == []
    conditions: list[Any] = list(entries(status, "conditions"))
    assert [one["type"] for one in conditions] == list(TYPES)
    assert {one["observedGeneration"] for one in conditions} == {facts.generation}
    assert all(one["message"] for one in conditions)


@settings(max_examples=50)
@given(any_facts, st.none() | views(), _instants, st.floats(0, 14))
def test_equal_input_makes_no_change(facts: PoolFacts, view: PoolView | None, now_s: float, later_s: float) -> None:
    """Nothing flaps, no time moves, no Event is made and nothing is written."""
    facts = replace(facts, pin=None)
    first = pool_status(facts, view, None, now_s)
    again = pool_status(facts, view, first, now_s + later_s)
    assert again == first
    assert events_of(first, again) == ()
    assert not needs_write(first, again, written_at_s=now_s, now_s=now_s + 1e6)


@settings(max_examples=50)
@given(any_facts, views(), views(), _instants)
def test_what_is_not_seen_at_once_can_wait(facts: PoolFacts, view: PoolView, other: PoolView, now_s: float) -> None:
    """A view with the words and times of another one changes nothing that is written at once."""
    facts = replace(facts, pin=None)
    words = {name: getattr(other, name) for name in ("mode_reason", "wanted_reason", "decision_reason", "constraints")}
    later = replace(view, **words, mode_since_s=other.mode_since_s)
    first = pool_status(facts, view, None, now_s)
    assert seen_at_once(later) == seen_at_once(view)
    assert not needs_write(first, pool_status(facts, later, first, now_s), written_at_s=now_s, now_s=now_s)


@settings(max_examples=50)
@given(st.lists(st.tuples(any_facts, st.none() | views(), _instants), min_size=2, max_size=5))
def test_transition_times_move_forward_and_only_with_the_status(
    steps: list[tuple[PoolFacts, PoolView | None, float]],
) -> None:
    """Also when the clock jumps."""
    before = None
    for facts, view, now_s in steps:
        status = pool_status(facts, view, before, now_s)
        if before is not None:
            for (was, then_s), (now, at_s) in zip(_times(before), _times(status), strict=True):
                assert then_s is not None
                assert at_s is not None
                assert at_s >= then_s
                assert was != now or at_s == then_s
        before = status


@settings(max_examples=50)
@given(any_facts, views(), _instants)
def test_a_gateway_reads_back_what_it_routes_by(facts: PoolFacts, view: PoolView, now_s: float) -> None:
    """Mode, share to a percent, since when to a second, cold starts to a second, and the pods it was given."""
    status = pool_status(facts, view, None, now_s)
    read = view_from_status(NAME, status, view.replicas)
    assert (read.name, read.replicas, read.mode) == (NAME, view.replicas, view.mode)
    assert abs(read.spill_ratio - view.spill_ratio) <= 0.01
    assert (read.spill_ratio > 0) == (view.spill_ratio > 0)
    assert read.mode_since_s == int(view.mode_since_s)
    assert read.desired_replicas == view.desired_replicas
    assert read.missing_replicas == view.missing_replicas
    assert len(read.cold_starts_s) == min(8, len(view.cold_starts_s))
    for said, took_s in zip(read.cold_starts_s, view.cold_starts_s[-8:], strict=True):
        assert said == min(1e6, max(1, round(took_s)))
    assert (read.pin is None) == (facts.pin is None)
    again = pool_status(replace(facts, pin=None), read, status, now_s)
    for name in ("replicas", "routing", "coldStartSeconds", "saturationPercent"):
        assert again.get(name) == status.get(name)


@settings(max_examples=50)
@given(any_facts, views(), any_facts, views(), _instants)
def test_events_are_few_and_small(
    facts: PoolFacts, view: PoolView, later_facts: PoolFacts, later: PoolView, now_s: float
) -> None:
    """At most one of each kind; reasons in one word; notes within the API's bound."""
    first = pool_status(facts, view, None, now_s)
    events = events_of(first, pool_status(later_facts, later, first, now_s + 60))
    assert len({(one.reason, one.action) for one in events}) == len(events)
    for event in events:
        assert event.reason.isalpha()
        assert event.type in ("Normal", "Warning")
        assert 0 < len(event.note) <= NOTE_CHARS
    if view.mode is not later.mode and view.mode is not RoutingMode.LOCAL:
        assert "Route" in [one.action for one in events]


@settings(max_examples=50)
@given(st.floats(0, 5), st.lists(st.floats(-0.019, 0.019), max_size=8))
def test_a_saturation_that_trembles_stays_in_its_bucket(ratio: float, trembles: list[float]) -> None:
    """Two points beyond an edge are no change."""
    first = saturation_percent(ratio, None)
    assert first is not None
    assert first % BUCKET_PERCENT == 0
    assert first <= ratio * 100 + 1e-9 < first + BUCKET_PERCENT + 1e-9
    for tremble in trembles:
        if first / 100 <= ratio <= (first + BUCKET_PERCENT) / 100 and ratio + tremble >= 0:
            assert abs(tremble) * 100 < SLACK_PERCENT
            assert saturation_percent(ratio + tremble, first) == first
