"""What stands beside the GPUs: weights, secrets, images, the database, watching, the way in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from infra.schema.values import Arn, Cidr, Days, Email, Gib, SecretName, Section, Switch, Variable


class ModelStoreSettings(Section):
    """The bucket of the weights, and a file system between it and the nodes if one is wanted."""

    source: Literal["hub", "bucket"] = "hub"  # of engines; the bucket is to be filled first
    cache: Literal["none", "efs", "fsx"] = "none"
    cache_gib: Gib = 1200  # fsx alone
    noncurrent_days: Days = 30
    force_destroy: Switch = False  # weights can be fetched again; `pulumi destroy` then empties the bucket


class SecretsSettings(Section):
    """Names of entries in AWS Secrets Manager. Values never stand here, nor in the state."""

    gateway: SecretName | None = None  # holds `engine-key` and `pepper` as JSON; None: <name>/gateway
    hf_token: SecretName | None = None
    provider_keys: dict[Variable, SecretName] = Field(default_factory=dict)


class RegistrySettings(Section):
    """Repositories of images in ECR."""

    repositories: tuple[str, ...] = ("ops", "engine")
    pull_through: frozenset[Literal["ecr-public", "quay", "k8s"]] = frozenset({"ecr-public", "quay", "k8s"})
    scan_on_push: Switch = True
    untagged_days: Days = 14


class DatabaseSettings(Section):
    """PostgreSQL on RDS for the ledger."""

    instance_class: Annotated[
        str, Field(pattern=r"^db\.[a-z0-9-]+\.[a-z0-9-]+$", description="an RDS class such as db.t4g.medium")
    ] = "db.t4g.medium"
    version: Annotated[
        str, Field(pattern=r"^[0-9]{2}(\.[0-9]{1,2})?$", description="a PostgreSQL version such as 17")
    ] = "17"
    multi_az: Switch = True
    storage_gib: Annotated[int, Field(strict=True, ge=20, le=65_536)] = 50
    max_storage_gib: Annotated[int, Field(strict=True, ge=20, le=65_536)] = 200
    backup_days: Annotated[int, Field(strict=True, ge=1, le=35)] = 14
    deletion_protection: Switch = True


class ObservabilitySettings(Section):
    """Metrics, alarms, and who is told when money runs away."""

    metrics: Literal["kube-prometheus-stack", "managed-prometheus", "none"] = "kube-prometheus-stack"
    alarm_emails: tuple[Email, ...] = ()
    budget_alert_emails: tuple[Email, ...] = ()
    budget_alert_percents: tuple[Annotated[int, Field(strict=True, ge=1, le=1000)], ...] = (50, 80, 100)
    logs_days: Days = 30


class EdgeSettings(Section):
    """How callers reach the gateway."""

    kind: Literal["internal", "public", "none"] = "internal"  # of the load balancer
    hostname: (
        Annotated[str, Field(pattern=r"^[a-z0-9.-]+\.[a-z]{2,}$", description="a host name such as llm.example.com")]
        | None
    ) = None
    certificate_arn: Arn | None = None
    hosted_zone: (
        Annotated[str, Field(pattern=r"^Z[A-Z0-9]+$", description="a Route 53 zone such as Z0123456789ABC")] | None
    ) = None
    allowed_cidrs: tuple[Cidr, ...] = ()
    waf: Switch = False
