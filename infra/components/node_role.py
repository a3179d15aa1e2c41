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
    """`cache_prefixes`: of repositories that a first pull may make in the registry's cache."""

    region: str
    account_id: pulumi.Input[str]
    cache_prefixes: tuple[str, ...]
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
        if args.cache_prefixes:
            caches = pulumi.Output.from_input(args.account_id).apply(
                lambda account: _caches(f"arn:aws:ecr:{args.region}:{account}:repository", args.cache_prefixes)
            )
            iam.RolePolicy(f"{name}-caches", iam.RolePolicyArgs(role=role.name, policy=caches), opts=child)
        self.arn, self.name = role.arn, role.name
        self.register_outputs({"arn": self.arn})


def _caches(repositories: str, prefixes: tuple[str, ...]) -> str:
    actions = ("ecr:CreateRepository", "ecr:BatchImportUpstreamImage")
    return policy(Statement(actions=actions, resources=tuple(f"{repositories}/{prefix}/*" for prefix in prefixes)))
