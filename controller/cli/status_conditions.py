"""For `spillway status` on a cluster: what the conditions of a ModelPool say that somebody may have to act on."""

from __future__ import annotations

from collections.abc import Mapping

TOLD = ("Stalled", "CapacityUnavailable", "ScalingLimited")


def conditions_of(pool: Mapping[str, object]) -> list[dict[str, object]]:
    """The conditions of a ModelPool as data."""
    from controller.modelpool.objects import entries, part

    found = [one for one in entries(part(pool, "status"), "conditions") if isinstance(one, Mapping)]
    names = ("type", "status", "reason", "message")
    return [{name: str(one.get(name, "")) for name in names} for one in found]


def told_conditions(row: Mapping[str, object]) -> list[str]:
    """In words, those that somebody may have to act on."""
    found = row.get("conditions")
    listed = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
    return [
        f"{one['type']} ({one['reason']}): {one['message']}"
        for one in listed
        if one["type"] in TOLD and one["status"] == "True"
    ]
