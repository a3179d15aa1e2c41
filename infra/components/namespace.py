"""A namespace whose pods keep to a Pod Security level; deleting it waits for all that is in it, volumes too."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes.core.v1 import Namespace as KubernetesNamespace
from pulumi_kubernetes.core.v1 import NamespaceInitArgs
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceArgs:
    """`pod_security`: restricted, baseline or privileged."""

    provider: k8s.Provider
    namespace: str
    pod_security: str


class Namespace(pulumi.ComponentResource):
    """The namespace."""

    namespace: pulumi.Output[str]

    def __init__(self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Namespace", name, None, opts)
        made = KubernetesNamespace(
            f"{name}-namespace",
            NamespaceInitArgs(
                metadata=ObjectMetaArgs(
                    name=args.namespace, labels={"pod-security.kubernetes.io/enforce": args.pod_security}
                )
            ),
            opts=pulumi.ResourceOptions(parent=self, provider=args.provider),
        )
        self.namespace = made.metadata.apply(lambda metadata: metadata.name or args.namespace)
        self.register_outputs({"namespace": self.namespace})
