"""The count of a group's nodes belongs to whoever adds and removes them; what cannot be changed then is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pulumi

COUNT = "scalingConfig.desiredSize"


def minded_by_others(name: str) -> pulumi.ResourceOptions:
    """Options of a node group of that name: its count of nodes is left alone, and bounds that exclude it are refused.

    EKS refuses bounds that the group's count lies outside of, and with them an update always carries the count that
    the state knows.
    """
    refuse = pulumi.ResourceHook(f"{name}-count", refuse_bounds, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceOptions(ignore_changes=[COUNT], hooks=pulumi.ResourceHookBinding(before_update=[refuse]))


def refuse_bounds(args: pulumi.ResourceHookArgs) -> None:
    """RunError with the command that starts or stops nodes first, where the known count is outside of new bounds."""
    inputs, known = args.new_inputs or {}, args.old_outputs or {}
    scaling = cast("Mapping[str, float]", inputs.get("scalingConfig") or {})
    low, count, high = (int(scaling.get(key, 0)) for key in ("minSize", "desiredSize", "maxSize"))
    if low <= count <= high:
        return
    group, cluster, region = known.get("nodeGroupName"), known.get("clusterName"), known.get("region")
    raise pulumi.RunError(
        f"{args.name} has {count} nodes as far as the state knows (got {low} to {high}), and EKS refuses bounds that "
        f"exclude them; run `aws eks update-nodegroup-config --region {region} --cluster-name {cluster} "
        f"--nodegroup-name {group} --scaling-config "
        f"minSize={low},maxSize={high},desiredSize={min(max(count, low), high)}`, then `pulumi up --refresh`"
    )
