"""The status document of a ModelPool: all that people ask for, and all that a gateway needs beside the pods."""

from __future__ import annotations

from collections.abc import Mapping

from controller.core.fleet import PoolView, ReplicaState
from controller.modelpool.conditions import conditions_of
from controller.modelpool.facts import PoolFacts, shortened
from controller.modelpool.findings import in_words, spill_percent
from controller.modelpool.objects import Json, instant_text, number
from controller.modelpool.pins import PinWord
from controller.modelpool.schema import PinnedRouting
from controller.modelpool.spelling import PoolSpelling

STARTS_KEPT = 8
BUCKET_PERCENT = 10
SLACK_PERCENT = 2  # beyond a bucket's edge before it is left: a saturation on the edge is no change each second
REASON_CHARS, CONSTRAINT_CHARS, CONSTRAINTS = 512, 256, 16
WHO_CHARS, PIN_REASON_CHARS = 100, 200
START_MOST_S = 1_000_000
COUNT_MOST = 100_000  # of whatever the schema counts

Status = Mapping[str, object]


def pool_status(facts: PoolFacts, view: PoolView | None, previous: Json | None, now_s: float) -> Status:
    """The status that is true now. `view` None: nothing is decided about it; what was published last stands."""
    before: Json = {} if previous is None else previous
    status: dict[str, object] = {}
    if view is None:
        status |= {name: before[name] for name in _PUBLISHED if name in before}
    else:
        status |= _published(view, before)
    status["observedGeneration"] = facts.generation
    if facts.selector:
        status["selector"] = facts.selector
    if facts.pin is not None:
        status["pin"] = _pin(facts.pin)
    status["conditions"] = list(conditions_of(facts, view, before, now_s))
    return status


_PUBLISHED = ("selector", "replicas", "routing", "saturationPercent", "coldStartSeconds", "lastDecision")


def saturation_percent(ratio: float | None, before: int | None) -> int | None:
    """The saturation rounded down to tens; the value before it while it is still within that bucket or just outside."""
    if ratio is None or not 0 <= ratio < COUNT_MOST / 100:
        return None
    percent = ratio * 100
    if before is not None and before - SLACK_PERCENT <= percent < before + BUCKET_PERCENT + SLACK_PERCENT:
        return before
    return int(percent // BUCKET_PERCENT) * BUCKET_PERCENT


def _published(view: PoolView, before: Json) -> dict[str, object]:
    replicas: dict[str, object] = {
        "ready": view.count(ReplicaState.READY),
        "warming": view.count(ReplicaState.WARMING),
        "draining": view.count(ReplicaState.DRAINING),
        "missing": view.missing_replicas,
    }
    found: dict[str, object] = {
        "replicas": replicas,
        "routing": _routing(view),
        "coldStartSeconds": [min(START_MOST_S, max(1, round(took_s))) for took_s in view.cold_starts_s[-STARTS_KEPT:]],
    }
    if view.desired_replicas is not None:
        replicas["desired"] = view.desired_replicas
        found["lastDecision"] = _decision(view, view.desired_replicas)
    saturation = saturation_percent(view.saturation_ratio, number(before, "saturationPercent"))
    if saturation is not None:
        found["saturationPercent"] = saturation
    if "selector" in before:
        found["selector"] = before["selector"]
    return found


def _routing(view: PoolView) -> dict[str, object]:
    routing: dict[str, object] = {"mode": str(view.mode), "spillPercent": spill_percent(view)}
    if view.mode_since_s >= 1:
        routing["since"] = instant_text(view.mode_since_s)
    return routing | {"reason": shortened(in_words(view.mode_reason), REASON_CHARS)}


def _decision(view: PoolView, final: int) -> dict[str, object]:
    words = PoolSpelling().words
    constraints = [shortened(words(one), CONSTRAINT_CHARS) for one in view.constraints[:CONSTRAINTS]]
    return {
        "wanted": min(COUNT_MOST, final if view.wanted_replicas is None else view.wanted_replicas),
        "final": final,
        "reason": shortened(words(in_words(view.wanted_reason or view.decision_reason)), REASON_CHARS),
        "constraintsApplied": constraints,
    }


def _pin(word: PinWord) -> dict[str, object]:
    pin = word.pin
    found: dict[str, object] = {
        "routing": str(pin.routing or PinnedRouting.AUTO),
        "since": instant_text(word.since_s),
        "until": instant_text(pin.until_s),
        "who": shortened(pin.who, WHO_CHARS),
        "reason": shortened(pin.reason, PIN_REASON_CHARS),
    }
    return found if pin.replicas is None else found | {"replicas": pin.replicas}
