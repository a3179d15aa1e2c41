"""What the processes of an installation say of themselves, for commands; nothing of it is needed to go on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller.core.fleet import FleetView, PoolView

if TYPE_CHECKING:
    from controller.adapters.kubernetes_client import KubernetesClient
    from controller.adapters.kubernetes_sight import Sight

ADMIN_PORT, CONTROLLER_PORT = 8081, 8082  # as the chart of helm/ops has them
BOOKS_TRIES = 3  # of gateways: each may take seconds to say that it cannot
WORST_FIRST = ("ejected", "left alone", "ramping")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """By pod of a gateway. `leading`: the view of the controller that leads, `books`: today's; None: nobody answers."""

    metrics: Mapping[str, bytes]
    loads: Mapping[str, bytes]
    leading: FleetView | None
    books: bytes | None


def with_figures(view: PoolView, leading: FleetView | None) -> PoolView:
    """The pool with what only the controller's memory has: requests on each replica, and prices."""
    known = None if leading is None else leading.pools.get(view.name)
    if known is None:
        return view
    by_id = {one.replica_id: one for one in known.replicas}
    replicas = tuple(
        replace(one, running=seen.running, waiting=seen.waiting, kv_cache_usage_ratio=seen.kv_cache_usage_ratio)
        if (seen := by_id.get(one.replica_id)) is not None
        else one
        for one in view.replicas
    )
    return replace(view, replicas=replicas, terms=known.terms)


async def read_pages(client: KubernetesClient, sight: Sight) -> Pages:
    """What answers of gateways and of the controller that leads."""
    from controller.adapters.kubernetes_pages import pages
    from controller.adapters.kubernetes_sight import GATEWAY

    gateways = sight.members(GATEWAY)
    metrics, loads, leading, books = await asyncio.gather(
        pages(client, gateways, ADMIN_PORT, "/metrics"),
        pages(client, gateways, ADMIN_PORT, "/v1/loads"),
        read_leader(client, sight),
        _books(client, gateways),
    )
    return Pages(metrics=metrics, loads=loads, leading=leading, books=books)


async def _books(client: KubernetesClient, gateways: Sequence[str]) -> bytes | None:
    """The books as the first gateway has them that can read them: all share one database."""
    from controller.adapters.kubernetes_pages import page

    for name in gateways[:BOOKS_TRIES]:
        body = await page(client, name, ADMIN_PORT, "/v1/books")
        if body is not None:
            return body
    return None


async def read_leader(client: KubernetesClient, sight: Sight) -> FleetView | None:
    """The view of the controller that leads; None where it does not say."""
    from controller.adapters.fleet_file import UNREADABLE, decode_view
    from controller.adapters.kubernetes_pages import page

    pod = sight.leading_pod()
    body = None if pod is None else await page(client, pod, CONTROLLER_PORT, "/v1/status")
    if body is None:
        return None
    try:
        return decode_view(body)
    except UNREADABLE:
        return None


def rotation_of_all(loads: Mapping[str, bytes]) -> dict[str, list[dict[str, object]]] | None:
    """By pool: who is out of rotation at any gateway, as the one that trusts it least has it; None: nobody says."""
    import orjson

    from controller.cli.status_rotation import rotation_of

    said = [rotation_of(orjson.loads(body)) for body in loads.values() if body.startswith(b"{")]
    known = [one for one in said if one is not None]
    if not known:
        return None
    found: dict[str, list[dict[str, object]]] = {}
    for pool in sorted({name for one in known for name in one}):
        rows = [row for one in known for row in one.get(pool, ())]
        ids = sorted({str(row["replica_id"]) for row in rows})
        found[pool] = [_worst([row for row in rows if row["replica_id"] == one], len(known)) for one in ids]
    return found


def _worst(rows: list[dict[str, object]], gateways: int) -> dict[str, object]:
    worst = min(rows, key=lambda row: WORST_FIRST.index(str(row["state"])))
    where = f", at {len(rows)} of {gateways} gateways" if gateways > 1 else ""
    return {**worst, "why": f"{worst['why']}{where}"}
