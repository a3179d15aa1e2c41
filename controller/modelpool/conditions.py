"""The conditions of a ModelPool: what is true of it now, why, and what mends it. `metav1.Condition` throughout.

Ready stays True while a pool spills, is paused or has no replicas on purpose, so that `kubectl wait`, Helm and Flux can
wait on it. A condition keeps its `lastTransitionTime` until its status changes.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.core.fleet import PoolView
from controller.modelpool.facts import MESSAGE_CHARS, PoolFacts, shortened
from controller.modelpool.findings import CAPACITY_UNAVAILABLE, Finding, findings
from controller.modelpool.objects import Json, entries, instant, instant_text, text


def condition_of(status: Json, kind: str) -> Json:
    """The condition of that type; an empty one where there is none."""
    found = (one for one in entries(status, "conditions") if isinstance(one, Mapping) and one.get("type") == kind)
    return next(found, {})


def conditions_of(
    facts: PoolFacts, view: PoolView | None, previous: Json, now_s: float
) -> tuple[Mapping[str, object], ...]:
    """All conditions, in their order, with times that move only when a status changes."""
    was_short = text(condition_of(previous, CAPACITY_UNAVAILABLE), "status") == "True"
    return tuple(
        _dated(kind, found, condition_of(previous, kind), facts.generation, now_s)
        for kind, found in findings(facts, view, now_s, was_short=was_short).items()
    )


def _dated(kind: str, found: Finding, before: Json, generation: int, now_s: float) -> Mapping[str, object]:
    status = "Unknown" if found.holds is None else str(found.holds)
    then_s = instant(text(before, "lastTransitionTime"))
    changed_s = now_s if then_s is None else then_s if text(before, "status") == status else max(now_s, then_s)
    return {
        "type": kind,
        "status": status,
        "observedGeneration": generation,
        "lastTransitionTime": instant_text(changed_s),
        "reason": found.reason,
        "message": shortened(found.message, MESSAGE_CHARS),
    }
