"""The life of a capacity block's nodes: they start with it, and are gone before AWS takes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pulumi
from pulumi_aws import autoscaling, eks

# AWS ends the instances of a block 30 minutes before its end; draining the pods begins ten minutes earlier.
LEFT_BEFORE_END = timedelta(minutes=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockScheduleArgs:
    """`nodes`: as many as the block has."""

    node_group: eks.NodeGroup
    nodes: int
    starts_at: datetime
    ends_at: datetime
    now: datetime


class BlockSchedule(pulumi.ComponentResource):
    """Two scheduled actions on the node group's autoscaling group: all nodes at the start, none near the end."""

    def __init__(self, name: str, args: BlockScheduleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:BlockSchedule", name, None, opts)
        group = autoscaling_group(args.node_group)
        actions = (("start", args.nodes, args.starts_at), ("end", 0, leaves_at(args.ends_at)))
        # AWS takes no action in the past, and forgets one that has run.
        for key, nodes, at in (action for action in actions if action[2] > args.now):
            autoscaling.Schedule(
                f"{name}-{key}",
                autoscaling.ScheduleArgs(
                    scheduled_action_name=f"{name}-{key}",
                    autoscaling_group_name=group,
                    min_size=0,
                    desired_capacity=nodes,
                    max_size=args.nodes,
                    start_time=at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})


def leaves_at(ends_at: datetime) -> datetime:
    """When the nodes of a block that ends then begin to go."""
    return ends_at - LEFT_BEFORE_END


def autoscaling_group(node_group: eks.NodeGroup) -> pulumi.Output[str]:
    """The name of the autoscaling group that EKS made for a node group."""
    return node_group.resources.apply(lambda made: (made[0].autoscaling_groups or [])[0].name or "")
