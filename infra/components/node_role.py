"""The identity of every node: it joins the cluster and pulls images; pods have identities of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam

from infra.components.iam_documents import Statement, policy, service_trust

POLICIES = {
    "joins": "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy",
    "pulls": "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly",
    "sessions": "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",  # a shell without SSH or a key
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRoleArgs:
    """`pull_through_arns`: repositories that a first pull may make in the registry's cache."""

    pull_through_arns: tuple[pulumi.Input[str], ...]
    tags: Mapping[str, str]


class NodeRole(pulumi.ComponentResource):
    """One role of all node groups."""

    arn: pulumi.Output[str]
    name: pulumi.Output[str]

    def __init__(self, name: str, args: NodeRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:NodeRole", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = iam.Role(
            f"{name}-role",
            iam.RoleArgs(assume_role_policy=service_trust("ec2.amazonaws.com"), tags=dict(args.tags)),
            opts=child,
        )
        for key, arn in POLICIES.items():
            iam.RolePolicyAttachment(
                f"{name}-{key}", iam.RolePolicyAttachmentArgs(role=role.name, policy_arn=arn), opts=child
            )
        if args.pull_through_arns:
            iam.RolePolicy(
                f"{name}-caches",
                iam.RolePolicyArgs(
                    role=role.name,
                    policy=pulumi.Output.all(*args.pull_through_arns).apply(lambda arns: _caches(tuple(arns))),
                ),
                opts=child,
            )
        self.arn, self.name = role.arn, role.name
        self.register_outputs({"arn": self.arn})


def _caches(arns: tuple[str, ...]) -> str:
    return policy(Statement(actions=("ecr:CreateRepository", "ecr:BatchImportUpstreamImage"), resources=arns))
