"""The product on the whole cluster: both charts installed with the product's own images, PostgreSQL and a provider
beside it on this machine, and what a test wants to know of it.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.adapters.postgres_server import running_postgres
from tests.cluster.component import until
from tests.cluster.errors import CommandFailed, DidNotStart
from tests.cluster.ports import free_ports
from tests.cluster.programs import ROOT
from tests.cluster.whole import Cluster

RELEASE = "spillway"
IMAGES = ("ops", "engine-sim")
BUILD_S = 1200.0
INSTALL_S = 120.0
SETTLE_S = 60.0
PROVIDER = "groq"
BOUGHT = "gpt-oss-20b-groq"


@dataclass(kw_only=True)
class Installation:
    """One release of helm/ops, and pools as releases of helm/serving, in one namespace."""

    cluster: Cluster
    namespace: str
    folder: Path
    key: str = ""
    brings_resource: bool | None = None
    pools: list[str] = field(default_factory=list)

    # words for kubectl and helm
    def kubectl(self, *words: str, given: str | None = None, timeout_s: float = 60.0) -> str:
        """In the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *words, given=given, timeout_s=timeout_s)

    def helm(self, *words: str, timeout_s: float = INSTALL_S) -> str:
        """In the namespace."""
        return self.cluster.helm("-n", self.namespace, *words, timeout_s=timeout_s)

    def get(self, *words: str) -> Any:
        """The object or list, as JSON."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    # what is there
    def pool(self, name: str) -> dict[str, Any]:
        """The status of a ModelPool; empty before there is one."""
        found: dict[str, Any] = self.get("modelpool", name).get("status", {})
        return found

    def routing(self, name: str) -> Mapping[str, Any]:
        """Mode, percentage and reason."""
        found: Mapping[str, Any] = self.pool(name).get("routing", {})
        return found

    def replicas(self, name: str) -> Mapping[str, int]:
        """By state."""
        found: Mapping[str, int] = self.pool(name).get("replicas", {})
        return found

    def conditions(self, name: str) -> Mapping[str, Mapping[str, str]]:
        """By type."""
        return {one["type"]: one for one in self.pool(name).get("conditions", [])}

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Those of a component that nobody has told to go."""
        found = self.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def reaches(self, what: str, check: Callable[[], object], *, within_s: float = SETTLE_S) -> None:
        """Returns once the check holds; an error with the state of all pools where it does not in time."""
        try:
            until(lambda: bool(check()), within_s=within_s, what=what)
        except DidNotStart as error:
            raise AssertionError(f"{what} not within {within_s:g} s\n{self.picture()}") from error

    def picture(self) -> str:
        """Pools, pods and the last words of the processes, for whoever has to find out."""
        said = []
        for words in (
            ("get", "modelpools", "-o", "yaml", "--show-managed-fields=false"),
            ("get", "pods", "-o", "wide"),
            ("get", "events", "--sort-by=.lastTimestamp", "--field-selector=reason!=Unhealthy"),
            ("logs", f"deployment/{RELEASE}-controller", "--tail=20", "--all-containers"),
            ("logs", f"deployment/{RELEASE}-gateway", "--tail=20"),
        ):
            try:
                said.append(self.kubectl(*words)[-6000:])
            except CommandFailed as error:
                said.append(str(error))
        return "\n".join(said)

    @property
    def url(self) -> str:
        """The gateway's Service, as this machine reaches it."""
        service = self.get("service", f"{RELEASE}-gateway")
        return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"

    # what is done
    def install(self, config: Mapping[str, object], *settings: str) -> None:
        """helm/ops is there, and its processes are ready."""
        file = self.folder / "ops.yaml"
        if self.brings_resource is None:
            self.brings_resource = "modelpools" not in self.cluster.kubectl("get", "crd", "-o", "name")
        values = {"config": config, "crds": {"install": self.brings_resource}, **OPS_VALUES}
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        self.helm("upgrade", "--install", RELEASE, str(ROOT / "helm" / "ops"), "-f", str(file), *_set(settings))
        self.rolled_out(f"{RELEASE}-gateway", f"{RELEASE}-controller")
        if not self.key:
            said = self.kubectl("exec", f"deployment/{RELEASE}-gateway", "--", "spillway", "keys", "create", "suite")
            self.key = said.strip().splitlines()[-1]

    def install_pool(
        self, name: str, *settings: str, kind: str = "sim", more: Mapping[str, object] | None = None
    ) -> None:
        """A release of helm/serving: its values of this kind, the suite's, and `more`."""
        chart = ROOT / "helm" / "serving"
        values, file = chart / "values" / f"{kind}.yaml", self.folder / "pool.yaml"
        file.write_text(yaml.safe_dump({**POOL_VALUES, **(more or {})}), encoding="utf-8")
        self.helm("upgrade", "--install", name, str(chart), "-f", str(values), "-f", str(file), *_set(settings))
        if name not in self.pools:
            self.pools.append(name)

    def remove_pool(self, name: str) -> None:
        """The release and its pods are gone."""
        self.helm("uninstall", name, "--wait")
        engines = ("pods", "-l", f"app.kubernetes.io/instance={name}")
        self.kubectl("wait", *engines, "--for=delete", f"--timeout={GONE_S:.0f}s", timeout_s=GONE_S + 10)
        self.pools.remove(name)

    def rolled_out(self, *deployments: str, within_s: float = INSTALL_S) -> None:
        """All their pods are new and ready."""
        for name in deployments:
            words = ("rollout", "status", f"deployment/{name}", f"--timeout={within_s:.0f}s")
            try:
                self.kubectl(*words, timeout_s=within_s + 10)
            except CommandFailed as error:
                raise AssertionError(f"{error}\n{self.picture()}") from error

    def until_ready(self, name: str, replicas: int, *, within_s: float = SETTLE_S) -> None:
        """The pool says that so many replicas are ready, and no other."""
        self.reaches(
            f"{name} has {replicas} ready replicas",
            lambda: self.replicas(name).get("ready") == replicas == self.replicas(name).get("desired"),
            within_s=within_s,
        )


GONE_S = 120.0
LEDGER_S = 5.0  # database, gateways and a fleet of engines have two cores in common; the fault rows judge 50 ms
OPS_VALUES: Mapping[str, object] = {
    "image": {"pullPolicy": "Never"},
    "gateway": {
        "replicas": 3,
        "autoscaling": {"enabled": False},
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
        "drain": {"leadSeconds": 3, "seconds": 60},
    },
    "controller": {"resources": {"requests": {"cpu": "50m", "memory": "96Mi"}}},
    "providerKeys": {"existingSecret": "providers", "providers": {PROVIDER: PROVIDER}},
    "networkPolicy": {"enabled": False},
}
POOL_VALUES: Mapping[str, object] = {
    "image": {"pullPolicy": "Never"},
    "engine": {"sim": {"coldStartSeconds": 6}},
    "resources": {"requests": {"cpu": "20m", "memory": "96Mi"}},
    "networkPolicy": {"enabled": False},
    "modelPool": {"spill": {"to": [BOUGHT]}, "autoscale": {"scaleDownCooldownSeconds": 30}},
}


def _set(settings: Sequence[str]) -> Iterator[str]:
    for one in settings:
        yield from ("--set", one)


def import_images(cluster: Cluster, *names: str) -> None:
    """The node has these images of the product, built from this tree."""
    done = subprocess.run(
        [str(ROOT / "scripts" / "images.sh"), *names],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        cluster.import_image(Path(line.split(" ", 1)[1]))


@contextmanager
def _provider(address: str, folder: Path) -> Iterator[str]:
    """The address of a process that answers as every external provider, on this machine."""
    (port,) = free_ports(1)
    with (folder / "provider.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "controller.engine_sim.provider", "--host", address, "--port", str(port),
             "--requests-per-min", "1000000"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"http://{address}:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _secret(name: str, namespace: str, data: Mapping[str, bytes]) -> dict[str, object]:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}


@contextmanager
def installed(
    cluster: Cluster,
    namespace: str,
    folder: Path,
    *settings: str,
    limits: Mapping[str, int] | None = None,
) -> Iterator[Installation]:
    """helm/ops with three gateways and two controllers on PostgreSQL; afterwards the namespace is gone.

    `settings`: of the chart, beside the suite's values. `limits`: of the provider, other than the catalogue's.
    """
    import_images(cluster, *IMAGES)
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    with running_postgres(address=cluster.machine) as server, _provider(cluster.machine, folder) as provider:
        cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": restricted}},
            _secret(
                RELEASE,
                namespace,
                {
                    "pepper": secrets.token_bytes(32),
                    "engine-key": secrets.token_hex(32).encode(),
                    "database-url": server.database().encode(),
                },
            ),
            _secret("providers", namespace, {PROVIDER: b"simulated"}),
        )
        made = Installation(cluster=cluster, namespace=namespace, folder=folder)
        try:
            made.install(
                {
                    "phase": "phase3",
                    "gateway": {"timeouts": {"ledger_s": LEDGER_S}},
                    "providers": {
                        PROVIDER: {"base_url": f"{provider}/{PROVIDER}/v1", "private_address": True, **(limits or {})}
                    },
                },
                *settings,
            )
            yield made
        finally:
            for name in list(made.pools):
                made.remove_pool(name)
            # Of a namespace with pods in it, the API looks again after half of their grace period.
            within = f"--timeout={GONE_S:.0f}s"
            made.kubectl("delete", "deployments", "--all", "--cascade=foreground", within, timeout_s=GONE_S + 10)
            cluster.kubectl("delete", "namespace", namespace, within, timeout_s=GONE_S + 10)


def is_ready(here: Installation, name: str) -> bool:
    """What `kubectl wait --for=condition=Ready` waits for."""
    return here.conditions(name).get("Ready", {}).get("status") == "True"


def until_serving(here: Installation, name: str) -> None:
    """The pool is Ready and has a replica."""
    here.reaches(f"{name} serves", partial(_serves, here, name), within_s=90.0)


def _serves(here: Installation, name: str) -> bool:
    return is_ready(here, name) and here.replicas(name).get("ready", 0) > 0
