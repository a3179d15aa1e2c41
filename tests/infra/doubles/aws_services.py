"""The kinds of everything that is neither network nor cluster nor identity, and then all kinds."""

from __future__ import annotations

from tests.infra.doubles import aws_kinds as k
from tests.infra.doubles.aws_kinds import Kind, Ref


def _of_bucket(token: str) -> dict[str, Kind]:
    return {token: Kind("bucket", replaces=("bucket",), refs=(Ref("bucket", k.BUCKET, "bucket", False),), service="s3")}


SERVICES: dict[str, Kind] = {
    k.KEY: Kind("uuid-", replaces=("keyUsage", "customerMasterKeySpec", "multiRegion"), service="kms", arn="key/{id}"),
    "kms/alias:Alias": Kind("name", "name", ("name",), (Ref("targetKeyId", k.KEY, holds=False),), "kms", "{id}"),
    k.LOGS: Kind("name", "name", ("name",), (Ref("kmsKeyId", k.KEY, "arn", False),), "logs", "log-group:{id}"),
    "cloudwatch/metricAlarm:MetricAlarm": Kind("name", "name", ("name",), service="cloudwatch", arn="alarm:{id}"),
    k.EVENTS: Kind("name", "name", ("name",), service="events", arn="rule/{id}"),
    "cloudwatch/eventTarget:EventTarget": Kind(
        "{rule}-{targetId}", "targetId", ("rule", "targetId"), (Ref("rule", k.EVENTS, "name"),), "events"
    ),
    k.TOPIC: Kind("arn:aws:sns:us-east-1:123456789012:{name}", "name", ("name",), service="sns", arn="{name}"),
    "sns/topicPolicy:TopicPolicy": Kind("{arn}", None, ("arn",), (Ref("arn", k.TOPIC, "arn", False),), "sns"),
    "sns/topicSubscription:TopicSubscription": Kind(
        "sub-", None, ("topic", "protocol", "endpoint"), (Ref("topic", k.TOPIC, "arn", False),), "sns"
    ),
    k.QUEUE: Kind("q-", "name", ("name",), service="sqs", arn="{name}"),
    "sqs/queuePolicy:QueuePolicy": Kind("{queueUrl}", None, ("queueUrl",), (), "sqs"),
    "budgets/budget:Budget": Kind(
        "name", "name", ("name", "budgetType", "timeUnit"), service="budgets", arn="budget/{id}"
    ),
    k.SECRET: Kind(
        "sec-", "name", ("name",), (Ref("kmsKeyId", k.KEY, "arn", False),), "secretsmanager", "secret:{name}"
    ),
    "secretsmanager/secretRotation:SecretRotation": Kind("{secretId}", None, ("secretId",), (), "secretsmanager"),
    "secretsmanager/secretPolicy:SecretPolicy": Kind("{secretArn}", None, ("secretArn",), (), "secretsmanager"),
    k.REPOSITORY: Kind("name", "name", ("name", "encryptionConfigurations"), service="ecr", arn="repository/{id}"),
    "ecr/lifecyclePolicy:LifecyclePolicy": Kind(
        "{repository}", None, ("repository",), (Ref("repository", k.REPOSITORY, "name", False),), "ecr"
    ),
    "ecr/pullThroughCacheRule:PullThroughCacheRule": Kind(
        "ecrRepositoryPrefix", "ecrRepositoryPrefix", ("ecrRepositoryPrefix", "upstreamRegistryUrl"), service="ecr"
    ),
    "ecr/repositoryCreationTemplate:RepositoryCreationTemplate": Kind("prefix", "prefix", ("prefix",), service="ecr"),
    k.BUCKET: Kind("bucket", "bucket", ("bucket", "bucketPrefix"), service="s3"),
    "s3/bucketObjectv2:BucketObjectv2": Kind(
        "{bucket}/{key}", None, ("bucket", "key"), (Ref("bucket", k.BUCKET, "bucket"),), "s3"
    ),
    **_of_bucket("s3/bucketPolicy:BucketPolicy"),
    **_of_bucket("s3/bucketVersioning:BucketVersioning"),
    **_of_bucket("s3/bucketPublicAccessBlock:BucketPublicAccessBlock"),
    **_of_bucket("s3/bucketOwnershipControls:BucketOwnershipControls"),
    **_of_bucket("s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"),
    **_of_bucket("s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"),
    k.DATABASE_SUBNETS: Kind("name", "name", ("name",), (Ref("subnetIds", k.SUBNET),), "rds", "subgrp:{id}"),
    k.DATABASE_PARAMETERS: Kind("name", "name", ("name", "family"), (), "rds", "pg:{id}"),
    k.DATABASE: Kind(
        "db-",
        "identifier",
        ("engine", "username", "dbName", "storageEncrypted", "kmsKeyId"),
        (
            Ref("dbSubnetGroupName", k.DATABASE_SUBNETS, "name"),
            Ref("vpcSecurityGroupIds", k.GROUP),
            Ref("parameterGroupName", k.DATABASE_PARAMETERS, "name"),
            Ref("kmsKeyId", k.KEY, "arn", False),
        ),
        "rds",
        "db:{identifier}",
    ),
    k.FILES: Kind(
        "fs-",
        None,
        ("creationToken", "encrypted", "kmsKeyId", "performanceMode"),
        (Ref("kmsKeyId", k.KEY, "arn", False),),
        "elasticfilesystem",
        "file-system/{id}",
    ),
    k.MOUNT: Kind(
        "fsmt-",
        None,
        ("fileSystemId", "subnetId"),
        (Ref("fileSystemId", k.FILES), Ref("subnetId", k.SUBNET), Ref("securityGroups", k.GROUP)),
        "elasticfilesystem",
    ),
    "fsx/lustreFileSystem:LustreFileSystem": Kind(
        "fs-",
        None,
        ("subnetIds", "deploymentType", "storageType"),
        (Ref("subnetIds", k.SUBNET), Ref("securityGroupIds", k.GROUP)),
        "fsx",
        "file-system/{id}",
    ),
    "amp/scraper:Scraper": Kind(
        "s-",
        None,
        ("source", "destination"),
        (
            Ref("source.eks.subnetIds", k.SUBNET),
            Ref("source.eks.securityGroupIds", k.GROUP),
            Ref("source.eks.clusterArn", k.CLUSTER, "arn", False),
        ),
        "aps",
        "scraper/{id}",
    ),
    "route53/record:Record": Kind("{zoneId}_{name}_{type}", None, ("zoneId", "name", "type"), (), "route53"),
    k.METRICS: Kind("ws-", None, ("kmsKeyArn",), service="aps", arn="workspace/{id}"),
    "wafv2/webAcl:WebAcl": Kind("name", "name", ("name", "scope"), service="wafv2", arn="regional/webacl/{id}"),
    "acm/certificate:Certificate": Kind(
        "cert-", None, ("domainName", "validationMethod"), service="acm", arn="certificate/{id}"
    ),
    "acm/certificateValidation:CertificateValidation": Kind(
        "{certificateArn}",
        None,
        ("certificateArn",),
        (Ref("certificateArn", "acm/certificate:Certificate", "arn", False),),
        "acm",
    ),
}
KINDS = {**k.CORE, **SERVICES}
