"""Which pools there are on a cluster, and what is wrong with the others: spillway.yaml and ModelPools together.

Controller and gateways each keep one of these over a watch of ModelPools. `refresh` is cheap while nothing has
changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controller.adapters.kubernetes_kinds import Json
from controller.adapters.kubernetes_objects import without_managed_fields
from controller.modelpool.cluster_pools import ClusterBase, ClusterPools, cluster_pools


def slim_model_pool(found: Json) -> Json:
    """The object; of those who have set its fields, who has set which part of the pin."""
    owners = [
        {**entry, "fieldsV1": {"f:spec": {"f:pin": spec["f:pin"]}}}
        for entry in (found.get("metadata") or {}).get("managedFields") or []
        if "f:pin" in (spec := (entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    kept = without_managed_fields(found)
    return {**kept, "metadata": {**kept["metadata"], "managedFields": owners}} if owners else kept


class KubernetesPools:
    """`current`: the settings with all pools that can be."""

    def __init__(self, base: ClusterBase, objects: Callable[[], Mapping[str, Json]]) -> None:
        self._base = base
        self._objects = objects
        self._seen = self._specs()
        self.current: ClusterPools = cluster_pools(base, objects().values())

    def takes(self, base: ClusterBase) -> None:
        """From now on this is spillway.yaml."""
        self._base = base
        self._adopt()

    def refresh(self) -> bool:
        """Whether a spec has changed, come or gone since; `current` says what that means."""
        if self._specs() == self._seen:
            return False
        self._adopt()
        return True

    def _adopt(self) -> None:
        self._seen = self._specs()
        self.current = cluster_pools(self._base, self._objects().values(), self.current)

    def _specs(self) -> Mapping[str, tuple[object, object]]:
        return {
            name: (one["metadata"].get("uid"), one["metadata"].get("generation"))
            for name, one in self._objects().items()
        }
