"""One AWS identity for one service account, by EKS Pod Identity: no keys, no annotations, no trust in the node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import eks, iam

from infra.components.iam_documents import pod_trust


@dataclass(frozen=True, slots=True, kw_only=True)
class PodIdentityArgs:
    """`policy`: what the pods may do, a document. `managed`: policies of AWS itself by a short key."""

    cluster_name: pulumi.Input[str]
    namespace: str
    service_account: str
    tags: Mapping[str, str]
    policy: pulumi.Input[str] | None = None
    managed: Mapping[str, str] | None = None


class PodIdentity(pulumi.ComponentResource):
    """A role that the pods of one service account have; whatever needs it depends on this component."""

    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: PodIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:PodIdentity", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = iam.Role(
            f"{name}-role",
            iam.RoleArgs(
                assume_role_policy=pod_trust(),
                description=f"service account {args.namespace}/{args.service_account}",
                tags=dict(args.tags),
            ),
            opts=child,
        )
        rights: list[pulumi.Resource] = []
        if args.policy is not None:
            rights.append(
                iam.RolePolicy(f"{name}-may", iam.RolePolicyArgs(role=role.name, policy=args.policy), opts=child)
            )
        rights.extend(
            iam.RolePolicyAttachment(
                f"{name}-{key}", iam.RolePolicyAttachmentArgs(role=role.name, policy_arn=arn), opts=child
            )
            for key, arn in (args.managed or {}).items()
        )
        eks.PodIdentityAssociation(
            f"{name}-account",
            eks.PodIdentityAssociationArgs(
                cluster_name=args.cluster_name,
                namespace=args.namespace,
                service_account=args.service_account,
                role_arn=role.arn,
                tags=dict(args.tags),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=rights),
        )
        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn})
