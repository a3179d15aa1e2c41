"""Image repositories: our own, and a cache of public registries that is filled by the first pull."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ecr

# Registries that need no credentials; others have to be logged in to, and are not cached.
UPSTREAMS = {"ecr-public": "public.ecr.aws", "k8s": "registry.k8s.io", "quay": "quay.io"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryArgs:
    """`prefix` begins the name of every repository. `untagged_days`: how long an image without a tag is kept."""

    prefix: str
    repositories: tuple[str, ...]
    pull_through: frozenset[str]
    scan_on_push: bool
    untagged_days: int
    key_arn: pulumi.Input[str]
    force_destroy: bool
    tags: Mapping[str, str]


class Registry(pulumi.ComponentResource):
    """Private repositories whose tags cannot be moved; cached ones are made by need, encrypted and cleaned alike."""

    repository_urls: dict[str, pulumi.Output[str]]
    cache_prefixes: dict[str, str]

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Registry", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.repository_urls = {repository: self._repository(repository) for repository in args.repositories}
        self.cache_prefixes = {upstream: self._cache(upstream) for upstream in sorted(args.pull_through)}
        self.register_outputs({"repository_urls": self.repository_urls})

    def _repository(self, repository: str) -> pulumi.Output[str]:
        args = self._args
        made = ecr.Repository(
            f"{self._name}-{repository}",
            ecr.RepositoryArgs(
                name=f"{args.prefix}/{repository}",
                image_tag_mutability="IMMUTABLE",
                image_scanning_configuration=ecr.RepositoryImageScanningConfigurationArgs(
                    scan_on_push=args.scan_on_push
                ),
                encryption_configurations=[
                    ecr.RepositoryEncryptionConfigurationArgs(encryption_type="KMS", kms_key=args.key_arn)
                ],
                force_delete=args.force_destroy,
                tags=dict(args.tags),
            ),
            opts=self._child,
        )
        ecr.LifecyclePolicy(
            f"{self._name}-{repository}",
            ecr.LifecyclePolicyArgs(repository=made.name, policy=_untagged(args.untagged_days)),
            opts=self._child,
        )
        return made.repository_url

    def _cache(self, upstream: str) -> str:
        args = self._args
        prefix = f"{args.prefix}-{upstream}"
        template = ecr.RepositoryCreationTemplate(
            f"{self._name}-{upstream}",
            ecr.RepositoryCreationTemplateArgs(
                prefix=prefix,
                applied_fors=["PULL_THROUGH_CACHE"],
                description=f"images of {UPSTREAMS[upstream]}",
                encryption_configurations=[
                    ecr.RepositoryCreationTemplateEncryptionConfigurationArgs(encryption_type="AES256")
                ],
                lifecycle_policy=_untagged(args.untagged_days),
            ),
            opts=self._child,
        )
        ecr.PullThroughCacheRule(
            f"{self._name}-{upstream}",
            ecr.PullThroughCacheRuleArgs(ecr_repository_prefix=prefix, upstream_registry_url=UPSTREAMS[upstream]),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[template]),
        )
        return prefix


def _untagged(days: int) -> str:
    selection = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days}
    rule = {"rulePriority": 1, "description": "untagged images", "selection": selection, "action": {"type": "expire"}}
    return json.dumps({"rules": [rule]})
