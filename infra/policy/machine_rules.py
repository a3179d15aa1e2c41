"""Machines give their credentials to nobody, and what is kept is encrypted. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from infra.policy.resources import Judged, at


def metadata_by_token(one: Judged) -> Iterator[str]:
    """IMDSv2 alone, one hop: no pod, and no request that a pod was tricked into, reads a node's credentials."""
    if one.kind not in {"aws:ec2/launchTemplate:LaunchTemplate", "aws:ec2/instance:Instance"}:
        return
    if next(at(one.inputs, "metadataOptions", "httpTokens"), None) != "required":
        yield "answers metadata without a token; metadataOptions.httpTokens must be required"
    if next(at(one.inputs, "metadataOptions", "httpPutResponseHopLimit"), None) != 1:
        yield "answers metadata to pods; metadataOptions.httpPutResponseHopLimit must be 1"


def _all_true(*path: str) -> Callable[[Judged], bool]:
    def holds(one: Judged) -> bool:
        found = [str(value).lower() for value in at(one.inputs, *path)]
        return bool(found) and all(value == "true" for value in found)

    return holds


def _there(*path: str) -> Callable[[Judged], bool]:
    return lambda one: any(True for _ in at(one.inputs, *path))


# What must hold, and which input says it.
ENCRYPTED: dict[str, tuple[Callable[[Judged], bool], str]] = {
    "aws:amp/workspace:Workspace": (_there("kmsKeyArn"), "kmsKeyArn"),
    "aws:ec2/launchTemplate:LaunchTemplate": (
        _all_true("blockDeviceMappings", "ebs", "encrypted"),
        "blockDeviceMappings.ebs.encrypted",
    ),
    "aws:ec2/volume:Volume": (_all_true("encrypted"), "encrypted"),
    "aws:ecr/repository:Repository": (_there("encryptionConfigurations", "encryptionType"), "encryptionConfigurations"),
    "aws:efs/fileSystem:FileSystem": (_all_true("encrypted"), "encrypted"),
    "aws:eks/cluster:Cluster": (_there("encryptionConfig", "provider", "keyArn"), "encryptionConfig"),
    "aws:fsx/lustreFileSystem:LustreFileSystem": (_there("kmsKeyId"), "kmsKeyId"),
    "aws:rds/instance:Instance": (_all_true("storageEncrypted"), "storageEncrypted"),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        lambda one: set(at(one.inputs, "rules", "applyServerSideEncryptionByDefault", "sseAlgorithm")) == {"aws:kms"},
        "rules.applyServerSideEncryptionByDefault.sseAlgorithm (aws:kms)",
    ),
    "aws:sns/topic:Topic": (_there("kmsMasterKeyId"), "kmsMasterKeyId"),
    "aws:sqs/queue:Queue": (
        lambda one: bool(one.inputs.get("kmsMasterKeyId") or one.inputs.get("sqsManagedSseEnabled")),
        "kmsMasterKeyId or sqsManagedSseEnabled",
    ),
    "kubernetes:storage.k8s.io/v1:StorageClass": (
        lambda one: one.inputs.get("provisioner") != "ebs.csi.aws.com" or _all_true("parameters", "encrypted")(one),
        "parameters.encrypted",
    ),
}


def encrypted(one: Judged) -> Iterator[str]:
    """Disks, databases, buckets, queues, images and the cluster's secrets."""
    if one.kind in ENCRYPTED:
        holds, said_by = ENCRYPTED[one.kind]
        if not holds(one):
            yield f"is not encrypted; {said_by} must say so"


def buckets_encrypted(resources: list[Judged]) -> Iterator[str]:
    """A bucket says nothing of it itself: another resource does, one for each."""
    kinds = [one.kind for one in resources]
    rules = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    bare = kinds.count("aws:s3/bucket:Bucket") - kinds.count(rules)
    if bare > 0:
        yield f"{bare} of the buckets have no BucketServerSideEncryptionConfiguration"
