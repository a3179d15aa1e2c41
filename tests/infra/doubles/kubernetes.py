"""A double of the Kubernetes provider: strict on every key, and what it makes is made in a real cluster.

Objects go there by server-side apply, releases by the real helm. Started as
`python -m tests.infra.doubles.kubernetes FOLDER KUBECTL HELM` with KUBECONFIG of that cluster; prints its port.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import yaml

from tests.infra.doubles import schema
from tests.infra.doubles.balancers import CONTROLLER, Balancers
from tests.infra.doubles.cluster import Cluster
from tests.infra.doubles.store import Store, Thing
from tests.infra.doubles.wire import UNKNOWN, Difference, Failure, Found, Refused, Resource, Values, serve

RELEASE = "kubernetes:helm.sh/v3:Release"
OWN = ("apiVersion", "kind", "metadata")  # what every object has


class Kubernetes:
    """One cluster, reached as the program's provider says."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self._store = Store(folder)
        self._cluster = cluster
        self._balancers = Balancers(folder.parent / "balancers.json")

    def configure(self, values: Values) -> None:
        """The kubeconfig of the program must lead to the cluster that it made."""
        said = values.get("kubeconfig")
        if isinstance(said, str) and self._cluster.server:
            servers = [one["cluster"]["server"] for one in yaml.safe_load(said)["clusters"]]
            if servers != [self._cluster.server]:
                raise RuntimeError(f"configured Kubernetes cluster is unreachable: {servers}")

    def check(self, resource: Resource, inputs: Values, old: Values) -> tuple[Values, list[Failure]]:
        """Every key and type of the SDK, and a name where none is given."""
        named = dict(inputs)
        if resource.token == RELEASE:
            named.setdefault("name", old.get("name") or f"{resource.name}-{secrets.token_hex(4)}")
            named.setdefault("namespace", "default")
        elif isinstance(inputs.get("metadata", {}), dict):
            metadata = dict(inputs.get("metadata", {}))
            before = old.get("metadata", {}).get("name")
            metadata.setdefault("name", before or f"{resource.name}-{secrets.token_hex(4)}")
            named["metadata"] = metadata
        return named, list(self._faults(resource.token, named))

    def _faults(self, token: str, inputs: Values) -> Iterator[Failure]:
        try:
            failures, seen = schema.check(token, inputs)
        except schema.NoSuchResource:  # a kind that the cluster learns from a chart: its API judges the rest
            failures, seen = [], set(inputs)
            failures += [Failure(key, "required property is missing") for key in OWN if key not in inputs]
        self._store.note_checked(token, seen)
        yield from failures

    def diff(self, resource: Resource, old: Values, new: Values, state: Values) -> Difference:
        """What differs; another name, namespace or kind is another object."""
        changed = tuple(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))
        before, after = _identity(resource.token, old), _identity(resource.token, new)
        if before == after:
            return Difference(changed)
        return Difference(changed, ("name",) if resource.token == RELEASE else ("metadata",))

    def create(self, resource: Resource, inputs: Values, *, preview: bool) -> tuple[str, Values]:
        """The object or release stands in the cluster."""
        if preview:
            return "", {**_unknown_outputs(resource.token), **inputs}
        with self._store.faulty("create", resource.token, resource.name) as fault:
            if fault and fault.error:
                raise Refused(fault.error)
            return self._put(resource, inputs, "create")

    def _put(self, resource: Resource, inputs: Values, verb: str) -> tuple[str, Values]:
        identity = _identity(resource.token, inputs)
        if resource.token == RELEASE:
            self._cluster.install(inputs)
            outputs = {
                **inputs,
                "status": {"name": inputs["name"], "namespace": inputs["namespace"], "status": "deployed"},
            }
        else:
            self._cluster.apply(inputs)
            outputs = {**inputs, **self._status(resource.token, identity)}
        self._balancers.note(self._cluster.services(), self._releases())
        self._store.put(Thing(identity, resource.token, resource.name, inputs, outputs), verb)
        return identity, outputs

    def _status(self, token: str, identity: str) -> Values:
        """An Ingress has an address once a controller has made its balancer; the real provider waits for that."""
        if not token.endswith(":Ingress"):
            return {}
        if not any(chart.endswith(CONTROLLER) for chart in self._releases()):
            raise Refused(f"Ingress {identity}: .status.loadBalancer field was not updated with a hostname/IP address")
        host = f"k8s-{identity.replace('/', '-')}.elb.amazonaws.com"
        return {"status": {"loadBalancer": {"ingress": [{"hostname": host}]}}}

    def _releases(self) -> list[str]:
        return [str(thing.inputs.get("chart")) for thing in self._store.of(RELEASE)]

    def read(self, resource: Resource, identity: str, inputs: Values) -> Found:
        """What was put there, if it still is."""
        thing = self._store.get(resource.token, identity)
        if thing is None:
            return Found()
        is_there = (
            self._cluster.has_release(thing.inputs) if resource.token == RELEASE else self._cluster.has(thing.inputs)
        )
        return Found(identity, thing.outputs, thing.inputs) if is_there else Found()

    def update(self, resource: Resource, identity: str, inputs: Values, *, preview: bool) -> Values:
        """The object or release is as the inputs say."""
        if preview:
            return {**_unknown_outputs(resource.token), **inputs}
        with self._store.faulty("update", resource.token, resource.name) as fault:
            if fault and fault.error:
                raise Refused(fault.error)
            return self._put(resource, inputs, "update")[1]

    def delete(self, resource: Resource, identity: str) -> None:
        """It is gone from the cluster."""
        with self._store.faulty("delete", resource.token, resource.name) as fault:
            if fault and fault.error:
                raise Refused(fault.error)
            thing = self._store.get(resource.token, identity)
            if thing is None:
                return
            if resource.token == RELEASE:
                self._cluster.uninstall(thing.inputs)
            else:
                self._cluster.delete(thing.inputs)
            self._balancers.note(self._cluster.services(), self._releases())
            self._store.remove(thing)

    def invoke(self, token: str, values: Values) -> Values:
        """No function is needed so far."""
        raise Refused(f"the double of Kubernetes knows no function {token}")


def _identity(token: str, inputs: Values) -> str:
    if token == RELEASE:
        return f"{inputs.get('namespace', 'default')}/{inputs.get('name')}"
    metadata = inputs.get("metadata", {})
    return "/".join(str(one) for one in (metadata.get("namespace"), metadata.get("name")) if one)


def _unknown_outputs(token: str) -> Values:
    try:
        return dict.fromkeys(schema.outputs_of(token), UNKNOWN)
    except schema.NoSuchResource:
        return {}


if __name__ == "__main__":
    _, FOLDER, KUBECTL, HELM = sys.argv
    serve(Kubernetes(Path(FOLDER), Cluster(KUBECTL, HELM)), version("pulumi-kubernetes"))
