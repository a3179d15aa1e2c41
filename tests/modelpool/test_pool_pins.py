"""Pins of ModelPools: what they pin, who said so, until when, and how they end."""

from __future__ import annotations

from typing import Any

import pytest
from pool_cases import stored
from pool_values import NOW_S, facts

from controller.core.fleet import RoutingMode
from controller.modelpool.objects import instant, instant_text
from controller.modelpool.pins import DEFAULT_PIN_S, expired_pin_patch, pin_word
from controller.modelpool.status import pool_status

SCALED_AT_S = NOW_S - 30


def _managed(
    at_s: float,
    manager: str = "kubectl",
    subresource: str | None = None,
    field: str = "f:pin",
    pinned: str = "f:replicas",
) -> dict[str, Any]:
    entry = {"manager": manager, "time": instant_text(at_s), "fieldsV1": {"f:spec": {field: {pinned: {}}}}}
    return entry if subresource is None else {**entry, "subresource": subresource}


def _pinned(*managed: object, status: object = None, **pin: Any) -> dict[str, Any]:
    source = stored("a", {"pin": pin}, managedFields=list(managed))
    return source if status is None else {**source, "status": status}


@pytest.mark.parametrize(
    ("pin", "routing", "replicas"),
    [
        ({"routing": "External"}, RoutingMode.EXTERNAL, None),
        ({"routing": "Local", "replicas": 2}, RoutingMode.LOCAL, 2),
        ({"replicas": 3}, None, 3),
        ({"scaling": "Zero"}, None, 0),
        ({"scaling": "Zero", "routing": "External"}, RoutingMode.EXTERNAL, 0),
    ],
)
def test_what_is_pinned(pin: dict[str, Any], routing: RoutingMode | None, replicas: int | None) -> None:
    """Routing, a number, none at all, or two of them."""
    word = pin_word(_pinned(**pin), NOW_S)
    assert word is not None
    assert (word.pin.routing, word.pin.replicas) == (routing, replicas)


@pytest.mark.parametrize(
    "pin",
    [{}, {"routing": "Auto", "replicas": 0, "scaling": "Auto"}, {"until": "2026-11-26T18:00:00Z"}, {"replicas": -1}],
)
def test_what_pins_nothing(pin: dict[str, Any]) -> None:
    """Defaults, a reason without a pin, and what nobody can read."""
    assert pin_word(_pinned(**pin), NOW_S) is None


def test_its_end_and_words_are_as_said() -> None:
    """Until, who and reason."""
    word = pin_word(_pinned(routing="Local", until="2026-11-26T12:00:00+01:00", who="oncall", reason="test"), NOW_S)
    assert word is not None
    assert (word.pin.until_s, word.pin.who, word.pin.reason) == (NOW_S + 3600, "oncall", "test")
    assert word.is_in_force(NOW_S + 3599)
    assert not word.is_in_force(NOW_S + 3600)


def test_kubectl_scale_pins_for_four_hours_from_when_it_was_written() -> None:
    """Its time and its program are known; the status then remembers since when."""
    source = _pinned(_managed(NOW_S - 999, "helm"), _managed(SCALED_AT_S, subresource="scale"), replicas=3)
    word = pin_word(source, NOW_S)
    assert word is not None
    assert (word.pin.who, word.pin.reason) == ("kubectl (scale)", "no reason given")
    assert (word.since_s, word.pin.until_s) == (SCALED_AT_S, SCALED_AT_S + DEFAULT_PIN_S)
    status = pool_status(facts(pin=word), None, None, NOW_S)
    rewritten = {**source["metadata"], "managedFields": [_managed(NOW_S + 60)]}
    later = pin_word({**source, "metadata": rewritten, "status": status}, NOW_S + 60)
    assert later is not None
    assert later.since_s == SCALED_AT_S


def test_another_pin_begins_anew() -> None:
    """What the status remembers is of another number."""
    status = pool_status(facts(pin=pin_word(_pinned(replicas=2), NOW_S)), None, None, NOW_S)
    word = pin_word(_pinned(_managed(NOW_S + 100), replicas=3, status=status), NOW_S + 120)
    assert word is not None
    assert word.since_s == NOW_S + 100


@pytest.mark.parametrize(
    "managed",
    [
        (),
        (_managed(NOW_S - 5 * 3600),),
        (_managed(NOW_S + 3600),),
        (_managed(SCALED_AT_S, field="f:model"),),
        (_managed(SCALED_AT_S, pinned="f:routing"),),
        ("odd",),
    ],
    ids=["unknown", "long-ago", "ahead", "of-another-field", "of-another-part-of-the-pin", "not-an-entry"],
)
def test_without_a_time_to_go_by_it_begins_now(managed: tuple[object, ...]) -> None:
    """A pin that is seen for the first time is in force, whatever clocks say."""
    word = pin_word(_pinned(*managed, replicas=3), NOW_S)
    assert word is not None
    assert word.since_s == NOW_S


def test_nobody_is_named_where_nobody_is_known() -> None:
    """Neither in the pin nor among the managers; a manager without a subresource is named alone."""
    nobody, helm = pin_word(_pinned(replicas=3), NOW_S), pin_word(_pinned(_managed(NOW_S, "helm"), replicas=3), NOW_S)
    assert nobody is not None
    assert helm is not None
    assert (nobody.pin.who, helm.pin.who) == ("unknown", "helm")


def test_an_expired_pin_is_taken_out_of_the_spec_it_stands_in() -> None:
    """Only of that very version; one in force, and a pool without one, are left alone."""
    source = _pinned(replicas=3, until=instant_text(NOW_S))
    assert expired_pin_patch(source, NOW_S - 1) is None
    assert expired_pin_patch(source, NOW_S) == {"metadata": {"resourceVersion": "7"}, "spec": {"pin": None}}
    assert expired_pin_patch(stored("a"), NOW_S) is None


def test_an_expired_pin_does_not_begin_anew() -> None:
    """As long as it stands in the spec the status remembers since when."""
    source = _pinned(replicas=3)
    status = pool_status(facts(pin=pin_word(source, NOW_S)), None, None, NOW_S)
    after_s = NOW_S + DEFAULT_PIN_S + 1
    word = pin_word({**source, "status": status}, after_s)
    assert word is not None
    assert not word.is_in_force(after_s)


def test_instants_are_read_as_the_api_writes_them() -> None:
    """With Z or an offset; without either it is no instant."""
    assert instant("2026-11-26T10:00:00Z") == NOW_S
    assert instant("2026-11-26t10:00:00.5z") == NOW_S + 0.5
    assert instant("2026-11-26T10:00:00") is None
    assert instant("soon") is None
