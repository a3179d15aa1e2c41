"""For `spillway status`: replicas that the gateway sends less than their share, and why, from its `/v1/loads`."""

from __future__ import annotations

from collections.abc import Mapping

EJECTED, LEFT_ALONE, RAMPING = "ejected", "left alone", "ramping"
WHY = {
    "gone": "no connection",
    "hung": "work but no tokens",
    "errors": "fails more often than its peers",
    "slow": "slower than its peers",
}
FAILED_IN_A_ROW = "its calls failed in a row"
RETURNED = "it started or came back a moment ago"
Row = Mapping[str, object]


def rotation_of(loads: object) -> dict[str, list[dict[str, object]]] | None:
    """By pool: who is out or comes back; None when the gateway does not say."""
    document = _mapping(loads)
    if "replicas" not in document:
        return None
    replicas, resting = _mapping(document["replicas"]), _mapping(document.get("left_alone_s"))
    found: dict[str, list[dict[str, object]]] = {}
    for replica_id, seen in sorted(replicas.items()):
        load = _mapping(seen)
        row = _standing(load, resting.get(replica_id))
        if row is not None:
            pool = str(load.get("pool", ""))
            found.setdefault(pool, []).append({"replica_id": replica_id, **row})
    return found


def rotation_words(row: Row) -> str:
    """One line about one replica."""
    state, why, back_s, ramp_ratio = row["state"], row["why"], row["back_s"], row["ramp_ratio"]
    if state == RAMPING and isinstance(ramp_ratio, float):
        return f"{row['replica_id']} ramping, {ramp_ratio:.0%} of its way to a full share: {why}"
    soon = "due back" if not isinstance(back_s, float) or back_s <= 0.0 else f"for {back_s:.0f} s more"
    return f"{row['replica_id']} {state}, {soon}: {why}{_factors(row)}"


def _factors(row: Row) -> str:
    """How slow, where that is why."""
    slowness = _mapping(row["slowness"])
    if row["reason"] != "slow" or not slowness:
        return ""
    return f" (prompts {slowness.get('prefill')} times as long as predicted, tokens {slowness.get('decode')} times)"


def _standing(load: Row, rests_s: object) -> dict[str, object] | None:
    reason, ramp_ratio = load.get("ejected"), load.get("ramp_ratio")
    if isinstance(reason, str):
        state, why, back_s = EJECTED, WHY.get(reason, reason), load.get("ejected_s")
    elif isinstance(rests_s, int | float):
        state, why, back_s = LEFT_ALONE, FAILED_IN_A_ROW, rests_s
    elif isinstance(ramp_ratio, int | float):
        state, why, back_s = RAMPING, RETURNED, None
    else:
        return None
    return {
        "state": state,
        "reason": reason,
        "why": why,
        "back_s": float(back_s) if isinstance(back_s, int | float) else None,
        "ramp_ratio": float(ramp_ratio) if isinstance(ramp_ratio, int | float) else None,
        "slowness": load.get("slowness"),
    }


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
