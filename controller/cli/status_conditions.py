"""For `spillway status` on a cluster: what the conditions of a ModelPool say that somebody may have to act on."""

from __future__ import annotations

from collections.abc import Mapping

UNKNOWN_OF_LEFT_OUT = frozenset(("ready", "warming", "draining", "lost", "missing", "routing", "spill_ratio"))
TOLD = ("Stalled", "CapacityUnavailable", "ScalingLimited")


def conditions_of(pool: Mapping[str, object]) -> list[dict[str, object]]:
    """The conditions of a ModelPool as data."""
    from controller.modelpool.objects import entries, part

    found = [one for one in entries(part(pool, "status"), "conditions") if isinstance(one, Mapping)]
    names = ("type", "status", "reason", "message")
    return [{name: str(one.get(name, "")) for name in names} for one in found]


def known_figures(pool: Mapping[str, object], row: Mapping[str, object]) -> dict[str, object]:
    """The row of a pool; of one that is left out nobody can say what replicas and routing are: empty, as in kubectl."""
    from controller.modelpool.objects import part
    from controller.modelpool.views import is_left_out

    unknown = UNKNOWN_OF_LEFT_OUT if is_left_out(part(pool, "status")) else frozenset[str]()
    return {name: None if name in unknown else value for name, value in row.items()}


def told_conditions(row: Mapping[str, object]) -> list[str]:
    """In words, those that somebody may have to act on."""
    found = row.get("conditions")
    listed = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
    return [
        f"{one['type']} ({one['reason']}): {one['message']}"
        for one in listed
        if one["type"] in TOLD and one["status"] == "True"
    ]
