"""What a node of an empty group would be, as tags of its autoscaling group: the autoscaler has no node to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import autoscaling, eks

from infra.components.capacity_block import autoscaling_group

PREFIX = "k8s.io/cluster-autoscaler/node-template"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleFromZeroArgs:
    """`taints`: by key, `value:effect`."""

    node_group: eks.NodeGroup
    labels: Mapping[str, str]
    taints: Mapping[str, str]
    gpus: int


class ScaleFromZero(pulumi.ComponentResource):
    """Labels, taints and GPUs of a future node, where the cluster autoscaler reads them."""

    def __init__(self, name: str, args: ScaleFromZeroArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:ScaleFromZero", name, None, opts)
        group = autoscaling_group(args.node_group)
        for key, value in scale_tags(labels=args.labels, taints=args.taints, gpus=args.gpus).items():
            autoscaling.Tag(
                f"{name}-{key.removeprefix(PREFIX + '/').replace('/', '-')}",
                autoscaling.TagArgs(
                    autoscaling_group_name=group,
                    tag=autoscaling.TagTagArgs(key=key, value=value, propagate_at_launch=False),
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})


def scale_tags(*, labels: Mapping[str, str], taints: Mapping[str, str], gpus: int) -> dict[str, str]:
    """The tags by key, as the cluster autoscaler's AWS provider names them."""
    return {
        **{f"{PREFIX}/label/{key}": value for key, value in labels.items()},
        **{f"{PREFIX}/taint/{key}": value for key, value in taints.items()},
        f"{PREFIX}/resources/nvidia.com/gpu": str(gpus),
    }
