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
from tests.cluster.workers import OneOfWholeClusters, by_length, needs

LEVELS = {"control_plane", "deploying_plane", "cluster"}
TEST_S = 300
Started = TypeVar("Started", bound=ControlPlane)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that needs a cluster is left out of `make test`, marked or not."""
    for item in items:
        if LEVELS & needs(item):
            item.add_marker("cluster")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_S))
    by_length(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneOfWholeClusters | None:
    """Asked for by `--dist loadgroup`; any other word means what xdist says."""
    return OneOfWholeClusters(config, log) if config.getoption("dist") == "loadgroup" else None


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
