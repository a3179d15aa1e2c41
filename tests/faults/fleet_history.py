"""What happened to a fleet on Kubernetes, seen from outside: numbers of replicas, writers, the last state (I8)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.cluster.admin_client import AdminClient
from tests.cluster.errors import CommandFailed
from tests.faults.cluster_controller import ClusterController

Json = dict[str, Any]
DRAINING = "spillway.dev/draining"
COST = "controller.kubernetes.io/pod-deletion-cost"
NOT_OF_THE_FLEET = ("leases", "events")  # a lease is fought for, an Event is a new object


@dataclass
class History:
    """Follows the Deployments of a namespace until cancelled."""

    api: AdminClient
    namespace: str
    began_s: float = field(default_factory=time.monotonic)
    replicas: list[tuple[float, str, int]] = field(default_factory=list)

    async def follow(self) -> None:
        """Every number of replicas that was ever asked for is noted, with its time."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        last: dict[str, int] = {}

        def note(item: Json) -> None:
            name, count = str(item["metadata"]["name"]), int(item["spec"]["replicas"])
            if last.get(name) != count:
                last[name] = count
                self.replicas.append((time.monotonic(), name, count))

        while True:
            with contextlib.suppress(aiohttp.ClientError, CommandFailed, TimeoutError, ConnectionError):
                found = await self.api.get(path)
                for item in found["items"]:
                    note(item)
                version = found["metadata"]["resourceVersion"]
                async with contextlib.aclosing(self.api.events(path, version)) as events:
                    async for change, item in events:
                        if change in ("ADDED", "MODIFIED"):
                            note(item)
            await asyncio.sleep(0.2)

    def counts(self, name: str, since_s: float = 0.0) -> list[int]:
        """The numbers of one Deployment in order."""
        return [count for at_s, pool, count in self.replicas if pool == name and at_s >= since_s]

    def beyond(self, bounds: Mapping[str, tuple[int, int]]) -> str:
        """Which numbers were outside of their pool's bounds, or nothing."""
        wrong = [
            f"{name} was asked to be {count} after {at_s - self.began_s:.1f} s"
            for at_s, name, count in self.replicas
            if name in bounds and not bounds[name][0] <= count <= bounds[name][1]
        ]
        return "; ".join(wrong[:3])


def writers_complaint(controllers: Iterable[ClusterController], *, takeovers: int) -> str:
    """I8: each object has one writer, another one only after a takeover. What is wrong, or nothing."""
    writes = sorted(
        (call.at_s, one.name, call.asked.target)
        for one in controllers
        for call in one.proxy.writes()
        if call.asked.resource.split("/")[0] not in NOT_OF_THE_FLEET
    )
    changes = sum(before[1] != after[1] for before, after in itertools.pairwise(writes))
    return "" if changes <= takeovers else f"writers of the fleet changed {changes} times in {takeovers} takeovers"


async def end_state(api: AdminClient, namespace: str) -> Json:
    """What is to be the same with and without a fault: all but names and times."""
    deployments = await api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments")
    pods = await api.get(
        f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": "app.kubernetes.io/component=engine"}
    )
    pools = await api.get(f"/apis/spillway.dev/v1alpha1/namespaces/{namespace}/modelpools")
    marks = [(one["metadata"].get("annotations") or {}) for one in pods["items"]]
    return {
        "replicas": {one["metadata"]["name"]: one["spec"]["replicas"] for one in deployments["items"]},
        "pods": len(pods["items"]),
        "ready": sum(_holds(one, "Ready") for one in pods["items"]),
        "marked": sum(DRAINING in one or COST in one for one in marks),
        "leaving": sum("deletionTimestamp" in one["metadata"] for one in pods["items"]),
        "pools": {one["metadata"]["name"]: _pool(one.get("status") or {}) for one in pools["items"]},
    }


def without_conditions(state: Json, kinds: Collection[str]) -> Json:
    """The state, with these conditions of pools left out."""
    pools = {
        name: {**pool, "conditions": {kind: said for kind, said in pool["conditions"].items() if kind not in kinds}}
        for name, pool in state["pools"].items()
    }
    return {**state, "pools": pools}


def _holds(item: Json, kind: str) -> bool:
    conditions = (item.get("status") or {}).get("conditions") or []
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def _pool(status: Json) -> Json:
    routing = status.get("routing") or {}
    return {
        "replicas": status.get("replicas"),
        "mode": routing.get("mode"),
        "spillPercent": routing.get("spillPercent"),
        "conditions": {one["type"]: one["status"] for one in status.get("conditions") or []},
    }
