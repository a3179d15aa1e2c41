"""The key under which the stack's state is encrypted: secrets of the cluster, bucket, database, images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import kms


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyArgs:
    """`keep`: whether `pulumi destroy` is refused; what the key encrypts is lost with it."""

    alias: str
    keep: bool
    tags: Mapping[str, str]


class Key(pulumi.ComponentResource):
    """A customer key that AWS turns every year; a deletion can be taken back for 30 days."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: KeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Key", name, None, opts)
        key = kms.Key(
            f"{name}-key",
            kms.KeyArgs(
                description=f"{args.alias}: secrets, weights, ledger, images",
                enable_key_rotation=True,
                deletion_window_in_days=30,
                tags=dict(args.tags),
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=args.keep),
        )
        kms.Alias(
            f"{name}-alias",
            kms.AliasArgs(name=f"alias/{args.alias}", target_key_id=key.id),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})
