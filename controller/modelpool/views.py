"""A published status back into the view that gateways route by, and that a new controller goes on from."""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.fleet import Pin, PoolView, Replica, RoutingMode
from controller.modelpool.conditions import condition_of
from controller.modelpool.findings import INVALID_SPEC, STALLED
from controller.modelpool.objects import Json, entries, instant, number, part, text
from controller.modelpool.schema import PinnedRouting

_MODES = {str(mode): mode for mode in RoutingMode}


def is_left_out(status: Json) -> bool:
    """Whether its spec is refused and none before it was ever taken: gateways do not know it, and its pods may be
    another pool's.
    """
    refused = text(condition_of(status, STALLED), "reason") == INVALID_SPEC
    return refused and not part(status, "routing")


def view_from_status(name: str, status: Json, replicas: Sequence[Replica]) -> PoolView:
    """The pool as its status and its pods show it; what a status does not say is as of a pool nobody has decided on."""
    routing, decision = part(status, "routing"), part(status, "lastDecision")
    mode = _mode(text(routing, "mode"))
    saturation = number(status, "saturationPercent")
    constraints = tuple(one for one in entries(decision, "constraintsApplied") if isinstance(one, str))
    reason = text(decision, "reason")
    return PoolView(
        name=name,
        replicas=tuple(replicas),
        mode=mode,
        spill_ratio=min(100, max(0, number(routing, "spillPercent") or 0)) / 100,
        mode_since_s=instant(text(routing, "since")) or 0.0,
        mode_reason=text(routing, "reason"),
        saturation_ratio=None if saturation is None else saturation / 100,
        desired_replicas=number(part(status, "replicas"), "desired"),
        decision_reason="; ".join(filter(None, (reason, *constraints))),
        wanted_replicas=number(decision, "wanted"),
        wanted_reason=reason,
        constraints=constraints,
        pin=_pin(part(status, "pin")),
        cold_starts_s=tuple(float(one) for one in entries(status, "coldStartSeconds") if isinstance(one, int)),
        missing_replicas=number(part(status, "replicas"), "missing") or 0,
    )


def _mode(word: str) -> RoutingMode:
    return _MODES.get(word, RoutingMode.LOCAL)


def _pin(said: Json) -> Pin | None:
    until_s = instant(text(said, "until"))
    if until_s is None:
        return None
    routing = text(said, "routing")
    return Pin(
        routing=None if routing == PinnedRouting.AUTO else _mode(routing),
        replicas=number(said, "replicas"),
        who=text(said, "who"),
        reason=text(said, "reason"),
        until_s=until_s,
    )
