"""The bucket of the weights, and for each model what it wants: repository, commit, folder.

`spillway infra weights` brings it there and writes down the sha256 of each file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import s3

from infra.components.iam_documents import Statement, policy
from infra.weights import Wanted, wanted_key, wanted_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStoreArgs:
    """`noncurrent_days`: how long a replaced file is kept. `force_destroy`: a destroy also empties the bucket."""

    key_arn: pulumi.Input[str]
    noncurrent_days: int
    force_destroy: bool
    wanted: tuple[Wanted, ...]
    tags: Mapping[str, str]


class ModelStore(pulumi.ComponentResource):
    """A private, versioned, encrypted bucket: `models/NAME/REVISION/` is for what `manifests/NAME.json` names."""

    bucket_name: pulumi.Output[str]
    bucket_arn: pulumi.Output[str]

    def __init__(self, name: str, args: ModelStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:ModelStore", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = s3.Bucket(
            f"{name}-bucket",
            s3.BucketArgs(force_destroy=args.force_destroy, tags=dict(args.tags)),
            opts=pulumi.ResourceOptions(parent=self, protect=not args.force_destroy),
        )
        self.bucket_name, self.bucket_arn = bucket.bucket, bucket.arn
        closed = s3.BucketPublicAccessBlock(
            f"{name}-closed",
            s3.BucketPublicAccessBlockArgs(
                bucket=bucket.bucket,
                block_public_acls=True,
                block_public_policy=True,
                ignore_public_acls=True,
                restrict_public_buckets=True,
            ),
            opts=child,
        )
        s3.BucketPolicy(
            f"{name}-policy",
            s3.BucketPolicyArgs(bucket=bucket.bucket, policy=bucket.arn.apply(_encrypted_transport)),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[closed]),  # AWS refuses both at once
        )
        s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            s3.BucketServerSideEncryptionConfigurationInitArgs(bucket=bucket.bucket, rules=[_encryption(args.key_arn)]),
            opts=child,
        )
        versioning = s3.BucketVersioning(
            f"{name}-versions",
            s3.BucketVersioningInitArgs(
                bucket=bucket.bucket,
                versioning_configuration=s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            ),
            opts=child,
        )
        s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            s3.BucketLifecycleConfigurationArgs(bucket=bucket.bucket, rules=_lifecycle(args.noncurrent_days)),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )
        for wanted in args.wanted:
            s3.BucketObjectv2(
                f"{name}-manifest-{wanted.model}",
                s3.BucketObjectv2Args(
                    bucket=bucket.bucket,
                    key=wanted_key(wanted.model),
                    content=wanted_text(wanted),
                    content_type="application/json",
                    tags=dict(args.tags),
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
            )
        self.register_outputs({"bucket_name": self.bucket_name})


def read_policy(bucket_arn: str, key_arn: str) -> str:
    """What a pod may do that reads weights and their manifests, and nothing else."""
    return policy(
        Statement(actions=("s3:ListBucket",), resources=(bucket_arn,)),
        Statement(actions=("s3:GetObject",), resources=(f"{bucket_arn}/models/*", f"{bucket_arn}/manifests/*")),
        Statement(actions=("kms:Decrypt",), resources=(key_arn,)),
    )


def _encrypted_transport(bucket_arn: str) -> str:
    refused = Statement(
        effect="Deny",
        everyone=True,
        actions=("s3:*",),
        resources=(bucket_arn, f"{bucket_arn}/*"),
        conditions={"Bool": {"aws:SecureTransport": "false"}},
    )
    return policy(refused)


def _encryption(key_arn: pulumi.Input[str]) -> s3.BucketServerSideEncryptionConfigurationRuleArgs:
    return s3.BucketServerSideEncryptionConfigurationRuleArgs(
        apply_server_side_encryption_by_default=(
            s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                sse_algorithm="aws:kms", kms_master_key_id=key_arn
            )
        ),
        bucket_key_enabled=True,  # one call to KMS for many objects
    )


def _lifecycle(noncurrent_days: int) -> list[s3.BucketLifecycleConfigurationRuleArgs]:
    return [
        s3.BucketLifecycleConfigurationRuleArgs(
            id="replaced",
            status="Enabled",
            filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
            noncurrent_version_expiration=s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                noncurrent_days=noncurrent_days
            ),
        ),
        s3.BucketLifecycleConfigurationRuleArgs(
            id="given-up-uploads",
            status="Enabled",
            filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
            abort_incomplete_multipart_upload=s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                days_after_initiation=3
            ),
        ),
    ]
