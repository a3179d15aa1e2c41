"""Clusters for tests, one per run or per file. A test that asks for one is marked `cluster` and has minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.cluster.deploying_plane import start_deploying_plane
from tests.cluster.handle import ControlPlane
from tests.cluster.start_cluster import start_cluster
from tests.cluster.start_control_plane import start_control_plane
from tests.cluster.whole import Cluster

LEVELS = {"control_plane", "deploying_plane", "cluster"}
WHOLE = {"cluster", "node"}  # `node`: what files call one of their own
LONG = {"deploying_plane", "fleet_plane"}  # with the real controller manager, one per file; rows take minutes
TEST_S = 300
Started = TypeVar("Started", bound=ControlPlane)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that needs a cluster is left out of `make test`, marked or not.

    With `--dist loadgroup` all tests of a whole cluster go to one worker, so that no two products are rolled out at
    once; the others go file by file.
    """
    for item in items:
        needs = set(item.fixturenames) if isinstance(item, pytest.Function) else set()
        item.add_marker(pytest.mark.xdist_group("cluster" if WHOLE & needs else item.path.name))
        if LEVELS & needs:
            item.add_marker("cluster")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_S))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """What takes longest begins first: the whole cluster, then what has a plane per file, then all else as it was."""
    needs = set(item.fixturenames) if isinstance(item, pytest.Function) else set()
    return 0 if WHOLE & needs else 1 if LONG & needs else 2


def standing(start: Callable[[], Started]) -> Iterator[Started]:
    """Stands while the tests of a fixture run, and is removed after them."""
    started = start()
    try:
        yield started
    finally:
        started.remove()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd and a kube-apiserver."""
    yield from standing(start_control_plane)


@pytest.fixture(scope="module")
def deploying_plane() -> Iterator[ControlPlane]:
    """One for the tests of a file, in which Deployments make pods."""
    yield from standing(start_deploying_plane)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The whole: control plane, one node, its network and names."""
    yield from standing(start_cluster)
