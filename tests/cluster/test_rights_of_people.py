"""By the cluster's own roles: `view` in a namespace may look at its ModelPools, `edit` may also change them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.cluster.component import until
from tests.cluster.deploying_plane import start_deploying_plane
from tests.cluster.errors import CommandFailed
from tests.cluster.handle import ControlPlane
from tests.cluster.installed import model_pool
from tests.helm.rendered_charts import HELM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
SPACE, POOLS = "people", "modelpools.spillway.dev"
SOON_S = 60.0


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """An API with the controller that aggregates roles, the chart, a pool, and one person for each role."""
    started = start_deploying_plane()
    try:
        started.kubectl("create", "namespace", SPACE)
        started.helm("install", "spillway", str(HELM / "ops"), "-n", SPACE)
        started.kubectl("wait", "--for=condition=Established", f"crd/{POOLS}", "--timeout=30s")
        started.kubectl("create", "-n", SPACE, "-f", "-", given=json.dumps(model_pool("llama-8b")))
        for role in ("view", "edit", "admin"):
            started.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er", "-n", SPACE)
        yield started
    finally:
        started.remove()


def may(plane: ControlPlane, who: str, verb: str, *options: str) -> bool:
    """Whether the API lets the person do it in the namespace."""
    words = ("auth", "can-i", verb, POOLS, "-n", SPACE, "--as", who, *options)
    try:
        said = plane.kubectl(*words)
    except CommandFailed as error:
        said = str(error)
    answer = re.search(r"^(yes|no)\b", said, re.MULTILINE)
    if answer is None:
        raise AssertionError(said)
    return answer[1] == "yes"


def test_roles_of_the_cluster_reach_model_pools(plane: ControlPlane) -> None:
    """A viewer looks, an editor and an admin also pin, scale and delete; nobody writes a status."""
    until(lambda: may(plane, "viewer", "list"), within_s=SOON_S, what="the roles are aggregated")
    until(lambda: may(plane, "editer", "patch"), within_s=SOON_S, what="the roles are aggregated")
    until(lambda: may(plane, "adminer", "patch"), within_s=SOON_S, what="the roles are aggregated")
    for verb, who in (("get", {"viewer", "editer", "adminer"}), ("patch", {"editer", "adminer"}),
                      ("delete", {"editer", "adminer"}), ("create", {"editer", "adminer"})):  # fmt: skip
        assert {one for one in ("viewer", "editer", "adminer") if may(plane, one, verb)} == who, verb
    assert not may(plane, "editer", "patch", "--subresource=status")
    pin = '{"spec":{"pin":{"routing":"External","reason":"driver update","who":"oncall"}}}'
    words = ("patch", "spool", "llama-8b", "-n", SPACE, "--type", "merge", "-p", pin)
    assert "forbidden" in plane.refusal(*words, "--as", "viewer")
    plane.kubectl(*words, "--as", "editer")
    scale = ("scale", "spool/llama-8b", "--replicas=3", "-n", SPACE)
    assert "forbidden" in plane.refusal(*scale, "--as", "viewer")
    plane.kubectl(*scale, "--as", "editer")
    said = plane.kubectl(
        "get", "spool", "llama-8b", "-n", SPACE, "-o", "jsonpath={.spec.pin.replicas}", "--as", "viewer"
    )
    assert said == "3"


def test_without_aggregation_they_reach_none(plane: ControlPlane) -> None:
    """Turned off, the roles are gone, and with them the rights."""
    plane.helm("upgrade", "spillway", str(HELM / "ops"), "-n", SPACE, "--set", "rbac.aggregate=false")
    until(lambda: not may(plane, "editer", "get"), within_s=SOON_S, what="the rights are gone")
    assert not may(plane, "viewer", "get")
