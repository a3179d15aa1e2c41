"""What the controllers of Kubernetes do with Deployments: pods come and go until there are as many as there shall be.

One ReplicaSet for each Deployment; who goes first is ranked as the real one does it. Nothing happens until `settle`.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from controller.adapters.kubernetes_pods import is_active
from controller.adapters.kubernetes_removal import goes_before, member_of
from tests.adapters.fake_apiserver import FakeApiServer

Json = dict[str, Any]
PODS, DEPLOYMENTS = "/api/v1/pods", "/apis/apps/v1/deployments"
LATER = "2026-11-26T12:00:00Z"


def deployment(name: str, replicas: int) -> Json:
    """A Deployment that selects its pods by one label."""
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}},
        "status": {"replicas": replicas, "updatedReplicas": replicas, "observedGeneration": 1},
    }


class FakeDeployments:
    """The controllers. `quota`: no Deployment gets more pods than this. `keeps`: deleted pods stay, terminating."""

    def __init__(self, api: FakeApiServer, *, now_s: float = 1_800_000_000.0) -> None:
        self._api = api
        self._numbers = itertools.count(1)
        self._made_s = now_s
        self.quota: int | None = None
        self.keeps = False
        self.made: list[str] = []
        self.killed: list[str] = []

    def pods(self, name: str) -> list[Json]:
        """All pods of a Deployment."""
        return [pod for pod in self._api.named(PODS) if pod["metadata"]["labels"].get("app") == name]

    async def settle(self) -> None:
        """Afterwards every Deployment has as many active pods as it shall have."""
        for item in self._api.named(DEPLOYMENTS):
            await self._settle(item)

    async def _settle(self, item: Json) -> None:
        name, wanted = item["metadata"]["name"], item["spec"]["replicas"]
        active = [pod for pod in self.pods(name) if is_active(pod)]
        for pod in sorted(active, key=lambda one: goes_before(member_of(one)))[: max(0, len(active) - wanted)]:
            self.killed.append(pod["metadata"]["name"])
            await self._terminate(pod)
        for _ in range(wanted - len(active)):
            if self.quota is not None and len(active) >= self.quota:
                await self._say_quota(name)
                break
            active.append(await self._make(name))

    async def _make(self, name: str) -> Json:
        self._made_s += 1.0
        made = datetime.fromtimestamp(self._made_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        pod = f"{name}-abc-{next(self._numbers)}"
        self.made.append(pod)
        owner = {"kind": "ReplicaSet", "name": f"{name}-abc", "controller": True}
        metadata = {"name": pod, "labels": {"app": name}, "creationTimestamp": made, "ownerReferences": [owner]}
        return await self._api.put(PODS, {"metadata": metadata, "spec": {}, "status": {"phase": "Pending"}})

    async def _terminate(self, pod: Json) -> None:
        name = pod["metadata"]["name"]
        if self.keeps:
            await self._api.put(PODS, {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": LATER}})
        elif self._api.has(PODS, name):
            await self._api.drop(PODS, name)

    async def _say_quota(self, name: str) -> None:
        words = 'pods "x" is forbidden: exceeded quota: gpus, requested: 1, used: 2, limited: 2'
        failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
        item = self._api.get(DEPLOYMENTS, name)
        await self._api.put(DEPLOYMENTS, {**item, "status": {**item["status"], "conditions": [failure]}})

    async def ready(self, *names: str) -> None:
        """Afterwards these pods serve; all that are active where none is named."""
        for pod in self._api.named(PODS):
            if is_active(pod) and (not names or pod["metadata"]["name"] in names):
                number = int(pod["metadata"]["name"].rsplit("-", 1)[1])
                made_s = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
                since = datetime.fromtimestamp(made_s + 30.0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                status = {
                    "phase": "Running",
                    "podIP": f"127.0.1.{number}",
                    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}],
                    "containerStatuses": [{"started": True, "restartCount": 0}],
                }
                await self._api.put(PODS, {**pod, "spec": {"nodeName": "n"}, "status": status})
