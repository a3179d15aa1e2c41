"""helm/README.md is true: its commands, run in its order against a real API and then with pods, do what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.postgres_server import running_postgres
from tests.cluster.fixtures import standing
from tests.cluster.handle import ControlPlane
from tests.cluster.operations_page import ANY_BLOCK, PAGE, blocks, place, run_block, wrapped_helm
from tests.cluster.start_cluster import start_cluster
from tests.cluster.start_control_plane import start_control_plane
from tests.cluster.whole import Cluster
from tests.docker.images import built

EXPECTED = {  # words that a block prints
    "look": ("llama-8b", "Scale Target Ref"),
    "pin": ('"routing":"External"', '"who":"oncall"'),
    "upgrade": ("superseded", "deployed"),
    "model": ("@0e9e39f249a16976918f6564b8830bc894c89659",),
    "provider key": ("secret/providers configured",),
    "pepper": ("secret/spillway patched",),
    "test": ("Succeeded",),
    "caller key": ("revoked",),
    "replica": ("annotated",),
    "uninstall": ("modelpools.spillway.dev", "secret/providers"),
    "resource": ('"modelpools.spillway.dev" deleted',),
}


@pytest.fixture(scope="module")
def api() -> Iterator[ControlPlane]:
    """An API of its own: the page deletes the ModelPool resource."""
    yield from standing(start_control_plane)


def test_every_block_of_the_page_is_run_by_this_test() -> None:
    """None is without a name, and no name is used twice."""
    names = [block.name for block in blocks()]
    assert len(names) == len(ANY_BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert len(names) == len(set(names))
    assert set(EXPECTED) <= set(names)


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_the_commands_on_objects_do_what_the_page_says(api: ControlPlane, tmp_path: Path) -> None:
    """From the secrets to the end, all but those that wait for pods; afterwards nothing of it is left."""
    place(tmp_path)
    for block in blocks():
        if block.needs_pods:
            continue
        said = run_block(block, tmp_path, api)
        for words in EXPECTED.get(block.name, ()):
            assert words in said, f"{block.name}: {said}"
        if block.name == "upgrade":
            _drains_for(api, 60)
        if block.name == "rollback":
            _drains_for(api, 120)
        if block.name == "engine key done":
            pool = json.loads(api.kubectl("get", "spool/llama-8b", "-n", "spillway", "-o", "json"))
            assert pool["spec"].get("pin", {}).get("routing", "Auto") == "Auto"
    assert api.kubectl("get", "crd", "-o", "name").split() == []


def _drains_for(api: ControlPlane, seconds: int) -> None:
    said = api.kubectl("get", "configmap/spillway-config", "-n", "spillway", "-o", "jsonpath={.data}")
    assert f"drain_s: {seconds}" in said


@pytest.fixture(scope="module")
def node() -> Iterator[Cluster]:
    """A whole cluster whose node looks like a g5.2xlarge, with the images of this tree."""
    archives = built("ops", "engine-sim")
    started = start_cluster()
    try:
        for archive in archives.values():
            started.import_image(archive)
        started.kubectl("label", "node", started.node, "node.kubernetes.io/instance-type=g5.2xlarge")
        yield started
    finally:
        started.remove()


@pytest.mark.cluster
@pytest.mark.timeout(1800)
def test_the_whole_page_does_what_it_says(node: Cluster, tmp_path: Path) -> None:
    """Every command, in order, with gateways, controllers and simulated engines as pods, and a PostgreSQL."""
    place(tmp_path)
    programs = wrapped_helm(tmp_path)
    with running_postgres(address=node.machine) as postgres:
        variables = {"DATABASE_URL": postgres.database()}
        for block in blocks():
            said = run_block(block, tmp_path, node, timeout_s=300, programs=programs, variables=variables)
            for words in EXPECTED.get(block.name, ()):
                assert words in said, f"{block.name}: {said}"
    assert node.kubectl("get", "crd", "-o", "name").split() == []
