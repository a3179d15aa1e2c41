"""Bounds of a group of nodes beside the count that somebody else minds: what EKS would refuse is refused before it."""

from __future__ import annotations

import pulumi
import pytest

from infra.components.node_counts import refuse_bounds

GROUP = "urn:pulumi:test::spillway::aws:eks/nodeGroup:NodeGroup::a10g-nodes"


def _asked(low: float, count: float, high: float) -> pulumi.ResourceHookArgs:
    return pulumi.ResourceHookArgs(
        urn=GROUP,
        id="spillway-dev:a10g",
        name="a10g-nodes",
        type="aws:eks/nodeGroup:NodeGroup",
        new_inputs={"scalingConfig": {"minSize": low, "desiredSize": count, "maxSize": high}},
        old_outputs={"nodeGroupName": "a10g-nodes-1", "clusterName": "spillway-dev", "region": "us-east-1"},
    )


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [
        pytest.param((3.0, 1.0, 4.0), "minSize=3,maxSize=4,desiredSize=3", id="floor above the count"),
        pytest.param((0.0, 4.0, 2.0), "minSize=0,maxSize=2,desiredSize=2", id="ceiling below the count"),
    ],
)
def test_bounds_that_exclude_the_count_are_refused(bounds: tuple[float, float, float], wanted: str) -> None:
    """With the command that brings the nodes within them first."""
    with pytest.raises(pulumi.RunError, match=f"a10g-nodes has {bounds[1]:.0f} nodes") as refused:
        refuse_bounds(_asked(*bounds))
    command = "--region us-east-1 --cluster-name spillway-dev --nodegroup-name a10g-nodes-1 --scaling-config "
    assert command + wanted in str(refused.value)


@pytest.mark.parametrize("bounds", [(0, 0, 1), (1, 1, 1), (0, 3, 4)], ids=["none yet", "one", "between"])
def test_bounds_around_the_count_pass(bounds: tuple[int, int, int]) -> None:
    """Both ends belong to them."""
    refuse_bounds(_asked(*bounds))
