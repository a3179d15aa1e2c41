"""A real API, and stacks of the programs under test; everything that was started is gone after each test."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.cluster.deploying_plane import controller_manager
from tests.cluster.start_control_plane import start_control_plane
from tests.infra.engine.engine import ROOT, Engine

TEST_S = 600
CONTROLLERS = (
    "namespace-controller",
    "persistentvolumeclaim-protection-controller",  # else a claim that is deleted stays
    "persistentvolume-protection-controller",
)
Start = Callable[[Path, str], Engine]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The engine takes seconds for every step."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_S))


@pytest.fixture(scope="session")
def api() -> Iterator[Mapping[str, str]]:
    """Variables that lead to an API that is ready, and in which namespaces and claims that are deleted go."""
    plane = start_control_plane()
    try:
        manager = controller_manager(plane, ",".join(CONTROLLERS))
        manager.start()
        authority = (plane.certificates / "ca.crt").read_bytes()
        yield {
            **plane.environ,
            "DOUBLE_CLUSTER_ENDPOINT": plane.server,
            "DOUBLE_CLUSTER_CA": base64.b64encode(authority).decode(),
        }
        manager.kill()
    finally:
        plane.remove()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a stack of a program; nothing of it runs after the test."""
    started: list[Engine] = []

    def begin(program: Path, stack: str, api: Mapping[str, str] | None = None) -> Engine:
        engine = Engine(tmp_path / f"stack-{len(started)}", program, stack, api or {})
        started.append(engine)
        engine.start()
        return engine

    yield begin
    for engine in started:
        engine.stop()


@pytest.fixture
def small(start: Start) -> Engine:
    """The small program, without a cluster behind the Kubernetes double."""
    return start(ROOT / "tests/infra/small", "test")
