"""Which worker of `make test-cluster` takes what: all whole clusters one of them, everything else file by file.

`--dist loadgroup` would be the way, but xdist 3.8 names groups in the ids of tests, which pytest 9.2 no longer lets it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

WHOLE = {"cluster", "node"}  # fixtures of whole clusters that the product is rolled out in
WHOLE_FILES = {
    f"test_{name}.py"
    for name in (
        "cluster",
        "commands_in_pods",
        "fake_nodes",
        "full_node",
        "operations_page",
        "product_changes",
        "product_traffic",
        "real_engine_pool",
    )
}
LAST = "test_product_changes.py"  # rolls it at 200 requests a second: when little else is left to run beside it
LONG = {"deploying_plane", "fleet_plane", "gpu_node"}  # begun by a file for itself, and its tests take minutes


class OneOfWholeClusters(LoadScopeScheduling):  # type: ignore[misc] # xdist's own has no types
    """Files whose tests roll out whole products beside each other on two cores would miss their deadlines."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", maxsplit=1)[0]
        return "whole clusters" if Path(file).name in WHOLE_FILES else file


def by_length(items: list[pytest.Item]) -> None:
    """What takes longest begins first: whole clusters (one of their files last), then what has a plane per file, then
    all else as it was.

    pytest.UsageError where a test needs a whole cluster and its file is not said to.
    """
    for item in items:
        if WHOLE & needs(item) and item.path.name not in WHOLE_FILES:
            raise pytest.UsageError(f"{item.nodeid} needs a whole cluster: add its file to {Path(__file__).name}")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.path.name in WHOLE_FILES:
        return int(item.path.name == LAST)
    return 2 if LONG & needs(item) else 3


def needs(item: pytest.Item) -> set[str]:
    """The fixtures of a test; none of what is no function."""
    return set(item.fixturenames) if isinstance(item, pytest.Function) else set()
