"""What a controller has made goes with its release: real charts, real rights, the cluster's own garbage collector.

A controller is a process of this machine here that goes by the name of a pod of its Deployment, as nothing runs pods.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.component import until
from tests.cluster.deploying_plane import start_deploying_plane
from tests.cluster.errors import CommandFailed
from tests.cluster.fixtures import standing
from tests.cluster.handle import ControlPlane
from tests.cluster.namespace_objects import objects_of
from tests.faults.cluster_controller import ClusterController, cluster_controller
from tests.helm.rendered_charts import HELM, RELEASE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
POOL, SPACE = "llama-8b", "gone"
SOON_S = 90.0
SIM = HELM / "serving" / "values" / "sim.yaml"
MADE = {"lease": "spillway-controller", "configmap": "spillway-controller-memory"}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One for these tests."""
    yield from standing(start_deploying_plane)


def _get(plane: ControlPlane, *words: str) -> Any:
    return json.loads(plane.kubectl("get", *words, "-n", SPACE, "-o", "json"))


def _pods(plane: ControlPlane) -> list[str]:
    found = _get(plane, "pods", "-l", "app.kubernetes.io/component=controller")["items"]
    return [one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"]]


def _made(plane: ControlPlane) -> dict[str, tuple[str, list[str]]]:
    """UID and owners of what the controller makes; fewer where it has not made all of it."""
    found = {}
    for kind, name in MADE.items():
        try:
            metadata = _get(plane, kind, name)["metadata"]
        except CommandFailed:
            continue
        found[kind] = (metadata["uid"], [one["uid"] for one in metadata.get("ownerReferences", [])])
    return found


def _leads(plane: ControlPlane, controller: ClusterController) -> bool:
    try:
        holder = _get(plane, "lease", MADE["lease"])["spec"]["holderIdentity"]
    except CommandFailed:
        return False
    return str(holder).startswith(controller.name)


def test_memory_survives_rollouts_and_restarts_and_goes_with_the_release(plane: ControlPlane, tmp_path: Path) -> None:
    """Lease and memory stay the same objects while the Deployment is rolled and upgraded; an uninstall leaves none."""
    plane.kubectl("create", "namespace", SPACE)
    before = objects_of(plane, SPACE)
    plane.helm("install", RELEASE, str(HELM / "ops"), "-n", SPACE)
    plane.kubectl("wait", "--for=condition=Established", "crd/modelpools.spillway.dev", "--timeout=30s")
    plane.helm("install", POOL, str(HELM / "serving"), "-n", SPACE, "-f", str(SIM))
    until(lambda: len(_pods(plane)) == 2, within_s=SOON_S, what="pods of the controller")
    owner = _get(plane, "deployment", f"{RELEASE}-controller")["metadata"]["uid"]

    with cluster_controller(plane, SPACE, tmp_path / "one", {}, name=_pods(plane)[0]) as one:
        one.start()
        until(lambda: len(_made(plane)) == 2, within_s=SOON_S, what=f"lease and memory\n{one.tail()}")
        first = _made(plane)
        assert [owners for _, owners in first.values()] == [[owner], [owner]]
        one.kill()
    plane.kubectl("rollout", "restart", f"deployment/{RELEASE}-controller", "-n", SPACE)
    plane.helm("upgrade", RELEASE, str(HELM / "ops"), "-n", SPACE, "--set", "gateway.drain.seconds=60")
    until(lambda: any(pod != one.name for pod in _pods(plane)), within_s=SOON_S, what="a pod of the next roll")
    name = next(pod for pod in _pods(plane) if pod != one.name)
    with cluster_controller(plane, SPACE, tmp_path / "two", {}, name=name) as two:
        two.start()
        until(lambda: _leads(plane, two), within_s=SOON_S, what=f"the next one leads\n{two.tail()}")
        assert _made(plane) == first

        plane.helm("uninstall", POOL, "-n", SPACE)
        plane.helm("uninstall", RELEASE, "-n", SPACE)
        two.signal(signal.SIGTERM)
        until(lambda: two.code() is not None, within_s=SOON_S, what="the controller ends")
    until(lambda: objects_of(plane, SPACE) == before, within_s=SOON_S, what="nothing is left")
    crds = plane.kubectl("get", "crd", "-o", "name").split()
    assert crds == ["customresourcedefinition.apiextensions.k8s.io/modelpools.spillway.dev"]
