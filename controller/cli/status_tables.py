"""`spillway status` as tables: one line per pool as kubectl would show it, why below, then providers and spend."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from controller.cli.status_conditions import told_conditions
from controller.cli.status_rotation import rotation_words

if TYPE_CHECKING:
    from rich.console import RenderableType

    from controller.core.fleet import Pin, Replica

Row = Mapping[str, object]
POOL_COLUMNS = ("NAME", "READY", "DESIRED", "WARMING", "ROUTING", "SPILL%", "SAT%", "AGE")  # within 80 characters
WIDE_COLUMNS = ("IN-FLIGHT", "SPILLED", "DRAINING", "MODEL")
TENANT_COLUMNS = ("TENANT", "REQUESTS/MIN", "TOKENS/MIN", "USD TODAY", "USD THIS MONTH")
LIMIT_COLUMNS = ("POOL", "USD THIS HOUR")
UNKNOWN = "<unknown>"
STARTS = "starting"  # as a platform says of a replica that does as it should
NONE = "<none>"
AGE_WORDS = "AGE: of the routing; of the oldest replica where the routing never changed"


def status_view(document: Row, *, wide: bool = False) -> RenderableType:
    """Everything in the status document, for a terminal or a pipe."""
    from rich.console import Group
    from rich.text import Text

    from controller.cli.output import aligned

    pools = cast("Sequence[Row]", document["pools"])
    columns = (*POOL_COLUMNS, *WIDE_COLUMNS) if wide else POOL_COLUMNS
    parts: list[RenderableType] = [
        *_heading(document),
        aligned(columns, [_pool_cells(row, wide=wide) for row in pools]),
    ]
    parts += [Text(line, style="dim") for line in _notes(pools)]
    parts += [Text(line, style="dim") for row in pools for line in _pool_words(row)]
    parts += [Text("\nProviders"), aligned(("NAME", "STATE", "ADDRESS"), _provider_cells(document))]
    tenants = cast("Sequence[Row]", document["tenants"])
    if tenants:
        parts += [
            Text("\nTenants, used of their limits"),
            aligned(TENANT_COLUMNS, [_tenant_cells(row) for row in tenants]),
        ]
    limits = cast("Sequence[Row]", document["spill_limits"])
    if limits:
        parts += [Text("\nSpill of this hour (UTC)"), aligned(LIMIT_COLUMNS, [_limit_cells(row) for row in limits])]
    parts.append(_spent_there(document) if _is_only_counted(document) else _spend(document["spend_today"]))
    return Group(*parts)


def age_words(age_s: float) -> str:
    """A span as kubectl tells it: 45s, 12m, 3h12m, 2d4h."""
    seconds = max(0, int(age_s))
    if seconds < 120:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 180:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours}h" if hours else f"{days}d"


def _heading(document: Row) -> list[RenderableType]:
    from rich.text import Text

    age = "who leads is not known" if document["age_s"] is None else f"published {document['age_s']} s ago"
    lines = [Text(f"as of {_time_of_day(document)} UTC, {age}")]
    if document["stale"]:
        why = "it has published nothing lately" if document["controller_up"] else "it does not answer"
        lines.append(Text(f"STALE: no word from the controller ({why}); gateways go on by this view", style="yellow"))
    if not document["gateway_up"]:
        lines.append(Text("the gateway does not answer: no counters", style="yellow"))
    return [*lines, Text("")]


def _time_of_day(document: Row) -> str:
    return str(document["at"])[:19]


def _pool_cells(row: Row, *, wide: bool) -> list[str]:
    age_s = row["age_s"]
    cells = [
        str(row["name"]),
        _or_unknown(row["ready"]),
        NONE if row["fixed"] else _or_unknown(row["desired"]),
        _or_unknown(row["warming"]),
        _or_unknown(row["routing"]),
        _percent(row["spill_ratio"]),
        _percent(row["saturation_ratio"]),
        age_words(age_s) if isinstance(age_s, int | float) else UNKNOWN,
    ]
    if wide:
        cells += [_or_unknown(row["in_flight"]), _or_unknown(row["spilled"])]
        cells += [_or_unknown(row["draining"]), str(row["model"] or NONE)]
    return cells


def _notes(pools: Sequence[Row]) -> list[str]:
    """What holds for the table as a whole."""
    simulated = [str(row["name"]) for row in pools if row["simulated"]]
    return [f"simulated engines: {', '.join(simulated)}", AGE_WORDS] if simulated else [AGE_WORDS]


def _pool_words(row: Row) -> list[str]:
    """Why the pool is as it is: routing, scaling, pin, replicas that are not simply ready or not fully in rotation."""
    words = [f"routing: {row['routing_reason']}"] if row["routing_reason"] else []
    words += [f"scaling: {row['scaling_reason']}"] if row["scaling_reason"] else []
    pin = cast("Pin | None", row["pin"])
    if pin is not None:
        left = age_words(pin.until_s - time.time())
        told = str(row["routing_reason"]).startswith("pinned by")
        words.append(f"pin expires in {left}" if told else f"pinned by {pin.who} for {left} more: {pin.reason}")
    lines: list[str] = []
    for replica in cast("Sequence[Replica]", row["replicas"]):
        said = replica_words(replica)
        lines += [f"    {replica.replica_id} {said}"] if said else []
    lines += [f"    {one}" for one in told_conditions(row)]
    lines += [f"    {rotation_words(one)}" for one in cast("Sequence[Row]", row["rotation"] or ())]
    return [f"  {row['name']}: {'; '.join(words)}".rstrip(), *lines] if words or lines else []


def replica_words(replica: Replica) -> str:
    """What there is to say of a replica; nothing of one that is simply ready."""
    state = replica.state.value
    if state == "ready":
        return ""
    if state == "warming" and replica.reason not in {"", STARTS}:
        return f"warming: {replica.reason}"
    if state == "warming" and replica.ready_at_s is not None:
        due_s = replica.ready_at_s - time.time()
        return f"warming, due in {due_s:.0f} s" if due_s > 0 else f"warming, {-due_s:.0f} s later than expected"
    busy = (replica.running or 0) + (replica.waiting or 0)
    return f"draining, {busy} open" if state == "draining" else f"{state}: {replica.reason or 'no reason known'}"


def _provider_cells(document: Row) -> list[list[str]]:
    rows = cast("Sequence[Row]", document["providers"])
    lacking = {row["name"]: f"no key: {row['api_key_env']}" for row in rows if row["state"] == "no key"}
    return [
        [str(row["name"]), lacking.get(row["name"], str(row["state"])), _or_unknown(row["base_url"])] for row in rows
    ]


def _tenant_cells(row: Row) -> list[str]:
    minute = [
        _of(row["requests_this_minute"], row["requests_per_min"]),
        _of(row["tokens_this_minute"], row["tokens_per_min"]),
    ]
    money = ((row["bought_today_usd"], row["usd_per_day"]), (row["bought_this_month_usd"], row["usd_per_month"]))
    return [str(row["tenant"]), *minute, *(_of(f"{bought:.4f}", limit) for bought, limit in money)]


def _limit_cells(row: Row) -> list[str]:
    return [str(row["pool"]), _of(f"{row['bought_this_hour_usd']:.4f}", row["usd_per_hour"])]


def _of(used: object, limit: object) -> str:
    return f"{used} of {limit}" if limit is not None else str(used)


def _is_only_counted(document: Row) -> bool:
    """Whether it is of a cluster none of whose gateways can read the database now."""
    return "books_command" in document and document["spend_today"] is None


def _spent_there(document: Row) -> RenderableType:
    """What gateways of a cluster have counted themselves, where none of them can read the books."""
    from rich.text import Text

    spent, by_day = document["spent_since_start_usd"], f"by day: {document['books_command']}"
    if not isinstance(spent, Mapping):
        return Text(f"\nSpend: no gateway says; {by_day}")
    money = f"bought ${spent.get('external', 0.0):.4f}, own pools at planning prices ${spent.get('own', 0.0):.4f}"
    return Text(f"\nSpend since these gateways started: {money}; {by_day}")


def _spend(spend: object) -> RenderableType:
    from rich.text import Text

    if not isinstance(spend, Mapping):
        return Text("\nSpend today: no ledger yet")
    counts = f"{spend['requests']} requests, {spend['spilled']} spilled, {spend['simulated']} simulated"
    money = f"bought ${spend['bought_usd']:.4f}, own pools at planning prices ${spend['own_usd']:.4f}"
    return Text(f"\nSpend today (UTC): {counts}; {money}")


def _percent(value: object) -> str:
    return f"{value:.0%}".rstrip("%") if isinstance(value, int | float) else UNKNOWN


def _or_unknown(value: object) -> str:
    return UNKNOWN if value is None else str(value)
