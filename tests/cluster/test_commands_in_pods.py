"""Keys, ledger and counters of a real gateway in a real pod: `spillway` from outside says what it says inside."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.cluster.installed import Installation, deployment, install_crd, labels, lease, model_pool
from tests.cluster.test_commands import call
from tests.cluster.whole import Cluster
from tests.docker.images import built

GATEWAY = "demo-gateway-1"
CONFIG = "gateway: {host: 0.0.0.0, admin_host: 0.0.0.0}\n"
STARTS_S = 120
pytestmark = pytest.mark.timeout(900)  # the image may have to be built first


def gateway_pod() -> dict[str, object]:
    """A gateway on a state folder of its own, as the chart sets its container up."""
    folders = {"config": "/etc/spillway", "state": "/var/lib/spillway", "tmp": "/tmp"}
    container = {
        "name": "gateway",
        "image": "docker.io/spillway/ops:0.1.0",
        "imagePullPolicy": "Never",
        "command": ["spillway"],
        "args": ["gateway"],
        "workingDir": "/etc/spillway",
        "env": [
            {"name": "SPILLWAY_STATE_DIR", "value": "/var/lib/spillway"},
            {"name": "SPILLWAY_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 1, "timeoutSeconds": 5},
        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in folders.items()],
    }
    volumes = [{"name": "config", "configMap": {"name": "demo-config"}}]
    volumes += [{"name": name, "emptyDir": {}} for name in ("state", "tmp")]
    spec = {
        "containers": [container],
        "volumes": volumes,
        "securityContext": {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001, "runAsNonRoot": True},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 2,
    }
    metadata = {"name": GATEWAY, "labels": labels("gateway")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def there(cluster: Cluster) -> Iterator[Installation]:
    """A namespace with a gateway that serves, a pool without pods, and a leader."""
    install_crd(cluster)
    for archive in built("ops").values():
        cluster.import_image(archive)
    made = Installation(cluster, "cli-pods")
    config = {"metadata": {"name": "demo-config"}, "data": {"spillway.yaml": CONFIG}}
    made.put({"apiVersion": "v1", "kind": "ConfigMap", **config}, gateway_pod(), model_pool("llama-8b"))
    made.put(deployment("llama-8b", 0), lease("nobody-0-abc", lease_s=3600))
    made.kubectl("wait", "--for=condition=Ready", f"pod/{GATEWAY}", f"--timeout={STARTS_S}s")
    yield made
    made.kubectl("delete", "pod", GATEWAY, "--wait=false")


def test_keys_and_ledger_are_those_of_the_gateway(there: Installation, cluster: Cluster) -> None:
    """Output and exit codes are those of `kubectl exec`; a key made from outside is known inside."""
    made = call(cluster, "keys", "create", "laptop", "--tenant", "acme", "-n", there.namespace)
    assert made.returncode == 0, made.stderr
    key_id = made.stdout.split("-")[1]
    assert made.stdout.startswith("sp-")
    assert made.stdout.count("\n") == 1
    assert f"Undo: spillway keys revoke {key_id} --namespace {there.namespace}\n" in made.stderr
    inside = there.kubectl("exec", GATEWAY, "--", "spillway", "keys", "list", "--json")
    assert call(cluster, "keys", "list", "--json", "-n", there.namespace).stdout == inside
    assert [one["tenant"] for one in json.loads(inside)["data"]] == ["acme"]
    done = call(cluster, "keys", "revoke", key_id, "--yes", "-n", there.namespace)
    assert done.stdout == f"key/{key_id} revoked\n", done.stderr
    again = call(cluster, "keys", "revoke", key_id, "--yes", "--error-unchanged", "-n", there.namespace)
    assert (again.returncode, again.stdout) == (3, f"key/{key_id} was revoked already\n")
    unknown = call(cluster, "keys", "revoke", "0123456789ab", "--json", "-n", there.namespace)
    assert (unknown.returncode, json.loads(unknown.stdout)["kind"]) == (1, "error")


def test_an_empty_ledger_is_told_as_inside(there: Installation, cluster: Cluster) -> None:
    """Sums, the last requests, one that is unknown, and rows: from where the database is."""
    told = json.loads(call(cluster, "ledger", "report", "--json", "-n", there.namespace).stdout)["data"]
    assert told["total"]["requests"] == 0
    rows = call(cluster, "ledger", "export", "-n", there.namespace)
    assert rows.stdout.startswith("request_id,") or rows.stdout.count(",") > 5, rows.stderr
    missing = call(cluster, "request", "req-none", "-n", there.namespace)
    assert missing.returncode == 1
    assert "no finished request 'req-none'" in missing.stderr
    assert f"fix: spillway request --last 20 --namespace {there.namespace}" in missing.stderr


def test_counters_of_a_real_gateway_are_read(there: Installation, cluster: Cluster) -> None:
    """Through the API server's way to the pod."""
    deadline_s = time.monotonic() + STARTS_S
    while not (told := json.loads(call(cluster, "status", "--json", "-n", there.namespace).stdout)["data"])[
        "gateway_up"
    ]:
        assert time.monotonic() < deadline_s, "on a busy machine a page may take longer than commands wait for it"
    assert told["controller_up"]
    assert told["spent_since_start_usd"] == {"external": 0.0, "own": 0.0}
    assert told["spend_today"]["requests"] == 0, "a gateway reads its ledger"
    assert {one["name"]: one["state"] for one in told["providers"]}["openai"] == "no key"
