"""What the SDK's own mocks let by, the doubles of the engine's providers refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pulumi_aws import eks

from tests.infra.doubles.aws import Aws
from tests.infra.doubles.wire import Resource
from tests.infra.mocked.registered import run

SIZES = {"minSize": 0, "desiredSize": 1, "maxSize": 1}
FAULTS = [
    pytest.param({"scaling_config": {**SIZES, "maxSise": 1}}, "scalingConfig.maxSise", id="misspelt nested key"),
    pytest.param({"capacity_type": "SPOTT"}, "capacityType", id="no such way of buying"),
    pytest.param({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}, "taints[0].effect", id="enum in a list"),
]


def _group(changes: dict[str, Any]) -> None:
    said: dict[str, Any] = {
        "cluster_name": "cluster",
        "node_role_arn": "arn:aws:iam::123456789012:role/node",
        "subnet_ids": ["subnet-0a"],
        "scaling_config": SIZES,
    }
    eks.NodeGroup("nodes", **{**said, **changes})


def _refused(folder: Path, changes: dict[str, Any]) -> list[str]:
    """The inputs that the double of AWS refuses, of a program that has run to its end under mocks."""
    (made,) = run(lambda: _group(changes)).made
    folder.mkdir()
    return [one.path for one in Aws(folder).check(Resource(made.urn), dict(made.inputs), {})[1]]


@pytest.mark.parametrize(("changes", "path"), FAULTS)
def test_a_fault_that_mocks_accept_is_refused(tmp_path: Path, changes: dict[str, Any], path: str) -> None:
    """The program runs under `set_mocks` to its end; the double names the input that is wrong, and no other."""
    assert _refused(tmp_path / "aws", changes) == [path]


def test_the_same_program_without_the_fault_is_accepted(tmp_path: Path) -> None:
    """So each refusal above is of its fault."""
    assert _refused(tmp_path / "aws", {}) == []
