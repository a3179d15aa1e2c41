"""Whose are the objects that a controller makes: those of its own Deployment, so that they go when it is uninstalled.

A Lease and a ConfigMap that the chart made would be refused to a controller that has lost them, and a forced upgrade or
a rollback would empty them. So the controller makes them, names its Deployment as their owner, and the cluster's
garbage collector takes them away with it, however it was deleted. Rolling updates, upgrades and restarts keep the
Deployment, and so the memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from controller.adapters.kubernetes_kinds import DEPLOYMENTS, Json
from controller.adapters.kubernetes_views import deployment_of
from controller.adapters.kubernetes_watch import KubernetesWatch


class Owner(Protocol):
    """What the Lease and the memory ask."""

    def is_known(self) -> bool:
        """Whether it has been found out; also that there is none."""
        ...

    def reference(self) -> Json | None:
        """As an object names it; None where there is none, or it is not known yet."""
        ...


class Nobody:
    """Of a controller that no Deployment runs, such as one on a developer's machine."""

    def is_known(self) -> bool:
        """Always."""
        return True

    def reference(self) -> Json | None:
        """Never one."""
        return None


@dataclass(slots=True)
class OwnDeployment:
    """The one whose pod this controller is, by the owner of its ReplicaSet; `pod`: the name of that pod."""

    pod: str
    pods: KubernetesWatch
    deployments: KubernetesWatch
    _found: Json | None = field(default=None, init=False)

    def is_known(self) -> bool:
        """Whether pods and Deployments have been listed."""
        return self.pods.is_synced and self.deployments.is_synced

    def reference(self) -> Json | None:
        """The Deployment as it is now, or as it was last: what is written while it is deleted goes after it."""
        pod = self.pods.objects.get(self.pod)
        name = None if pod is None else deployment_of(pod)
        deployment = None if name is None else self.deployments.objects.get(name)
        uid = None if deployment is None else deployment["metadata"].get("uid")
        if uid:
            self._found = {"apiVersion": DEPLOYMENTS.api_version, "kind": DEPLOYMENTS.name, "name": name, "uid": uid}
        return self._found


def owned(metadata: Json, owner: Json | None) -> Json:
    """The metadata with `owner` among its owners; the same object where it is there already, or there is none."""
    owners = metadata.get("ownerReferences") or []
    if owner is None or any(one.get("uid") == owner["uid"] for one in owners):
        return metadata
    return {**metadata, "ownerReferences": [*owners, owner]}
