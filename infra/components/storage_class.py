"""The class of volumes that claims get by default: gp3, encrypted, in the zone of the pod, gone with the claim."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.storage.v1 import StorageClass, StorageClassInitArgs


@dataclass(frozen=True, slots=True, kw_only=True)
class Gp3ClassArgs:
    """`tags`: of the volumes, so that one that is left over can be found and paid for by nobody."""

    provider: k8s.Provider
    tags: dict[str, str]


class Gp3Class(pulumi.ComponentResource):
    """The StorageClass `gp3`, the cluster's default."""

    class_name: pulumi.Output[str]

    def __init__(self, name: str, args: Gp3ClassArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Gp3Class", name, None, opts)
        tags = {
            f"tagSpecification_{place}": f"{key}={value}" for place, (key, value) in enumerate(args.tags.items(), 1)
        }
        made = StorageClass(
            f"{name}-class",
            StorageClassInitArgs(
                metadata=ObjectMetaArgs(
                    name="gp3", annotations={"storageclass.kubernetes.io/is-default-class": "true"}
                ),
                provisioner="ebs.csi.aws.com",
                parameters={"type": "gp3", "encrypted": "true", **tags},
                volume_binding_mode="WaitForFirstConsumer",
                reclaim_policy="Delete",
                allow_volume_expansion=True,
            ),
            opts=pulumi.ResourceOptions(parent=self, provider=args.provider),
        )
        self.class_name = made.metadata.apply(lambda metadata: metadata.name or "gp3")
        self.register_outputs({"class_name": self.class_name})
