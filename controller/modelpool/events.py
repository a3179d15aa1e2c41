"""Which Events (`events.k8s.io/v1`) a change of status is worth: one for each thing that has changed, and no more.

Reasons and actions are few and fixed, so that the API counts repetitions instead of keeping them; what is told in an
Event that needs somebody to act is in a condition too, as Events expire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controller.modelpool.conditions import condition_of
from controller.modelpool.facts import shortened
from controller.modelpool.findings import CAPACITY_UNAVAILABLE, PAUSED, SPILLING, STALLED
from controller.modelpool.objects import Json, number, part, text

CONTROLLER = "spillway.dev/controller"
NORMAL, WARNING = "Normal", "Warning"
NOTE_CHARS = 1024
_ROUTED = {
    "Local": (NORMAL, "SpillEnded"),
    "Spilling": (WARNING, "SpillStarted"),
    "External": (WARNING, "AllExternal"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolEvent:
    """One Event about a ModelPool. `action`: what the controller was at."""

    type: str
    reason: str
    action: str
    note: str


def events_of(previous: Json | None, following: Json) -> tuple[PoolEvent, ...]:
    """What has happened between two statuses; the first one of a pool tells what is wrong, and nothing else."""
    before: Json = {} if previous is None else previous
    found = (*_routed(before, following), *_scaled(before, following), *_conditions(before, following))
    return tuple(
        PoolEvent(type=kind, reason=reason, action=action, note=shortened(note, NOTE_CHARS))
        for kind, reason, action, note in found
    )


_Found = tuple[str, str, str, str]


def _routed(before: Json, after: Json) -> Iterator[_Found]:
    was, now = part(before, "routing"), part(after, "routing")
    mode = text(now, "mode")
    if was and text(was, "mode") != mode and mode in _ROUTED:
        kind, reason = _ROUTED[mode]
        yield kind, reason, "Route", f"Routing went from {text(was, 'mode')} to {mode}: {text(now, 'reason')}."


def _scaled(before: Json, after: Json) -> Iterator[_Found]:
    was, now = number(part(before, "replicas"), "desired"), number(part(after, "replicas"), "desired")
    if was is None or now is None or was == now:
        return
    why = text(part(after, "lastDecision"), "reason") or "no reason given"
    reason = "ScaledUp" if now > was else "ScaledDown"
    yield NORMAL, reason, "Scale", f"Desired replicas went from {was} to {now}: {why}."


def _conditions(before: Json, after: Json) -> Iterator[_Found]:
    """Beginnings and ends of what somebody should know; of what goes on, a new reason."""
    stalled, was_stalled = condition_of(after, STALLED), condition_of(before, STALLED)
    if _begins(was_stalled, stalled) or _other_spec(was_stalled, stalled):
        yield WARNING, text(stalled, "reason"), "Reconcile", text(stalled, "message")
    elif _ends(was_stalled, stalled):
        yield NORMAL, "Recovered", "Reconcile", f"No more {text(was_stalled, 'reason')}."
    short, was_short = condition_of(after, CAPACITY_UNAVAILABLE), condition_of(before, CAPACITY_UNAVAILABLE)
    if _is_on(short) and not _is_on(was_short):
        yield WARNING, "CapacityUnavailable", "Start", text(short, "message")
    elif _ends(was_short, short):
        yield NORMAL, "CapacitySuffices", "Start", text(short, "message")
    paused, was_paused = condition_of(after, PAUSED), condition_of(before, PAUSED)
    if _begins(was_paused, paused) or (_is_on(paused) and part(before, "pin") != part(after, "pin")):
        yield NORMAL, "Pinned", "Pin", text(paused, "message")
    elif _ends(was_paused, paused):
        expired = text(paused, "reason") == "PinExpired"
        yield NORMAL, "PinExpired" if expired else "Unpinned", "Pin", text(paused, "message")
    spilling, was_spilling = condition_of(after, SPILLING), condition_of(before, SPILLING)
    unusable = "TargetUnusable"
    if text(spilling, "reason") == unusable != text(was_spilling, "reason") and not _is_on(was_spilling):
        yield WARNING, unusable, "Validate", text(spilling, "message")


def _is_on(condition: Json) -> bool:
    return text(condition, "status") == "True"


def _begins(before: Json, after: Json) -> bool:
    """Whether it holds now and did not, or for another reason."""
    return _is_on(after) and (not _is_on(before) or text(before, "reason") != text(after, "reason"))


def _other_spec(before: Json, after: Json) -> bool:
    """Whether another spec is in the way as the one before it was."""
    return _is_on(after) and number(before, "observedGeneration") != number(after, "observedGeneration")


def _ends(before: Json, after: Json) -> bool:
    return _is_on(before) and not _is_on(after)
