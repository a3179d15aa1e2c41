"""The pin in a ModelPool's spec: what it pins, who said so, and until when.

A pin that names no end gets one: 4 hours after it was first seen, which the status remembers. The status keeps the pin
until the spec has it no more, so that one which has expired does not begin anew; `expired_pin_patch` takes it out of
the spec, so that the next `kubectl scale` is a pin again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from controller.core.fleet import Pin, RoutingMode
from controller.modelpool.objects import Json, entries, instant, part, text
from controller.modelpool.schema import PinnedRouting, PinnedScaling, PinPart

DEFAULT_PIN_S = 4 * 3600.0
NO_REASON = "no reason given"
_PINS = {"routing": PinnedRouting.AUTO, "replicas": 0, "scaling": PinnedScaling.AUTO}  # as they pin nothing
_LATER_S = 60.0  # clocks of API and controller may differ by so much


@dataclass(frozen=True, slots=True, kw_only=True)
class PinWord:
    """A pin as the spec has it. `since_s`: when it was first seen."""

    pin: Pin
    since_s: float

    def is_in_force(self, now_s: float) -> bool:
        """Whether it has not expired."""
        return now_s < self.pin.until_s


def pin_word(source: Json, now_s: float) -> PinWord | None:
    """The pin of a ModelPool, expired or not; None where it has none."""
    said = _said(source)
    if said is None:
        return None
    routing, replicas = _pinned(said)
    if routing is None and replicas is None:
        return None
    since_s = _first_seen_s(source, said, now_s)
    until_s = None if said.until is None else instant(said.until)
    pin = Pin(
        routing=routing,
        replicas=replicas,
        who=said.who or _writer(source, said) or "unknown",
        reason=said.reason or NO_REASON,
        until_s=since_s + DEFAULT_PIN_S if until_s is None else until_s,
    )
    return PinWord(pin=pin, since_s=since_s)


def expired_pin_patch(source: Json, now_s: float) -> Mapping[str, object] | None:
    """A merge patch that takes an expired pin out of the spec, if nothing has changed since; None where none has."""
    word = pin_word(source, now_s)
    if word is None or word.is_in_force(now_s):
        return None
    version = text(part(source, "metadata"), "resourceVersion")
    return {"metadata": {"resourceVersion": version}, "spec": {"pin": None}}


def _said(source: Json) -> PinPart | None:
    try:
        return PinPart.model_validate(dict(part(source, "spec", "pin")))
    except ValidationError:  # no API that knows this CRD lets it through, and a pin nobody can read pins nothing
        return None


def _pinned(said: PinPart) -> tuple[RoutingMode | None, int | None]:
    routing = None if said.routing is PinnedRouting.AUTO else RoutingMode(said.routing.value)
    if said.scaling is PinnedScaling.ZERO:
        return routing, 0
    return routing, said.replicas or None


def _first_seen_s(source: Json, said: PinPart, now_s: float) -> float:
    """By the status, where that is about this very pin; else when it was written, else now."""
    known = part(source, "status", "pin")
    since_s = instant(text(known, "since"))
    routing, replicas = _pinned(said)
    same = text(known, "routing") == (routing or PinnedRouting.AUTO) and known.get("replicas") == replicas
    if same and since_s is not None:
        return since_s
    written_s = _written_s(source, said)
    return now_s if written_s is None or not now_s - DEFAULT_PIN_S < written_s < now_s + _LATER_S else written_s


def _owner(source: Json, said: PinPart) -> Json:
    """Who of those that manage fields wrote what is pinned, the last of them; empty where nobody says so."""
    pinned = {f"f:{name}" for name, value in _PINS.items() if getattr(said, name) != value}
    owners: list[Json] = [
        one
        for one in entries(part(source, "metadata"), "managedFields")
        if isinstance(one, Mapping) and pinned & set(part(one, "fieldsV1", "f:spec", "f:pin"))
    ]
    return max(owners, key=lambda one: instant(text(one, "time")) or 0.0, default={})


def _writer(source: Json, said: PinPart) -> str:
    owner = _owner(source, said)
    name, below = text(owner, "manager"), text(owner, "subresource")
    return f"{name} ({below})" if name and below else name


def _written_s(source: Json, said: PinPart) -> float | None:
    return instant(text(_owner(source, said), "time"))
