"""What is in a namespace, for tests of what a release leaves behind."""

from __future__ import annotations

from tests.cluster.handle import ControlPlane


def objects_of(api: ControlPlane, namespace: str) -> set[str]:
    """Every object of a namespace that can be made and listed, as `kind/name`; but for Events, which go by time."""
    kinds = api.kubectl("api-resources", "--namespaced", "--verbs=list,create", "-o", "name").split()
    told = api.kubectl("get", ",".join(kinds), "-n", namespace, "-o", "name", "--ignore-not-found").split()
    return {name for name in told if not name.startswith("event")}
