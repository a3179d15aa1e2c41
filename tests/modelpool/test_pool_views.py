"""A status read back: what nobody has published is a pool that nobody has decided on, and oddities break nothing."""

from __future__ import annotations

import pytest
from pool_values import NAME, pin_word, replica, status_of, view

from controller.core.fleet import PoolView, RoutingMode
from controller.modelpool.objects import Json, entries, generation_of, name_of, number, part, text
from controller.modelpool.spelling import PoolSpelling
from controller.modelpool.views import is_left_out, view_from_status


def test_no_status_is_a_pool_at_home() -> None:
    """With the pods that are there."""
    assert view_from_status(NAME, {}, [replica(1)]) == PoolView(name=NAME, replicas=(replica(1),))


@pytest.mark.parametrize(
    "status",
    [
        {"routing": {"mode": "Elsewhere", "spillPercent": -5, "since": "soon"}},
        {"routing": "Local", "replicas": [1], "coldStartSeconds": "30", "lastDecision": None, "pin": {"until": 5}},
        {"saturationPercent": True, "coldStartSeconds": [None, "x"], "lastDecision": {"constraintsApplied": [1]}},
    ],
)
def test_a_status_of_another_kind_reads_as_none(status: Json) -> None:
    """Fields that are not what they should be are left aside."""
    assert view_from_status(NAME, status, []) == PoolView(name=NAME)


def test_a_pool_is_left_out_while_none_of_its_specs_was_taken() -> None:
    """One that goes on by its last good spec has a routing; one that nobody has looked at is not refused."""
    refused = {"conditions": [{"type": "Stalled", "status": "True", "reason": "InvalidSpec"}]}
    assert is_left_out(refused)
    assert not is_left_out({**refused, "routing": {"mode": "Local"}})
    assert not is_left_out({})


def test_what_people_read_is_read_back() -> None:
    """The reason with its limits, the pin, and how many are missing."""
    seen = view(4, wanted_replicas=6, constraints=("cooldown",), missing_replicas=1)
    read = view_from_status(NAME, status_of(seen, pin=pin_word(routing=RoutingMode.LOCAL)), seen.replicas)
    assert read.decision_reason == "demand 0.50 at target 0.95; cooldown"
    assert (read.wanted_replicas, read.constraints, read.missing_replicas) == (6, ("cooldown",), 1)
    assert read.pin == pin_word(routing=RoutingMode.LOCAL).pin
    assert view_from_status(NAME, status_of(seen, pin=pin_word()), ()).pin == pin_word().pin


def test_reading_json_never_fails() -> None:
    """What is not there is empty or None."""
    assert part({"a": {"b": 1}}, "a", "b") == {}
    assert part({}, "a", "b") == {}
    assert (text({"a": 1}, "a"), number({"a": True}, "a"), number({"a": 2}, "a")) == ("", None, 2)
    assert (entries({"a": "xy"}, "a"), entries({"a": [1]}, "a")) == ((), (1,))
    assert (name_of({}), generation_of({})) == ("", 0)


def test_words_are_those_of_the_api() -> None:
    """Names and units; what stands in spillway.yaml is said to."""
    words = PoolSpelling().words
    assert words("tensor_parallel 2, awq weights") == "tensorParallel 2, Awq weights"
    assert words("tpot_p95_s is 0.05: late") == "tpotP95Milliseconds is 50: late"
    assert words("`models.a.enabled: true`, or another") == "`models.a.enabled: true` of spillway.yaml, or another"
    assert PoolSpelling().key(("spec", "engine", "max_model_len_tokens")) == "spec.engine.maxModelLenTokens"
