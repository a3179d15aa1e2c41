"""The kinds of objects that are read or written on Kubernetes, and where the API has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Json = dict[str, Any]  # Any: an object of the API as it came; its readers take what they know


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One resource of the API. `group`: the path of its version."""

    group: str
    plural: str
    name: str

    @property
    def api_version(self) -> str:
        """As objects of this kind say it."""
        return self.group.split("/", 2)[2]

    def path(self, namespace: str, name: str | None = None, subresource: str | None = None) -> str:
        """Where they all are, or the one of this name, or a part of it."""
        steps = [self.group, "namespaces", quote(namespace, safe=""), self.plural]
        steps += [quote(one, safe="") for one in (name, subresource) if one is not None]
        return "/".join(steps)


MODEL_POOLS = Kind(group="/apis/spillway.dev/v1alpha1", plural="modelpools", name="ModelPool")
PODS = Kind(group="/api/v1", plural="pods", name="Pod")
DEPLOYMENTS = Kind(group="/apis/apps/v1", plural="deployments", name="Deployment")
CONFIG_MAPS = Kind(group="/api/v1", plural="configmaps", name="ConfigMap")
LEASES = Kind(group="/apis/coordination.k8s.io/v1", plural="leases", name="Lease")
EVENTS = Kind(group="/apis/events.k8s.io/v1", plural="events", name="Event")
