"""What gateway and engines need beside nodes: the ledger, secrets, metrics, the way in, alarms."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from controller.catalogue import load_catalogue
from infra.components.alarms import Alarms, AlarmsArgs, database_alarms, nat_alarms
from infra.components.database import Database, DatabaseArgs
from infra.components.edge import Edge, EdgeArgs
from infra.components.gpu_addons import GpuAddons, GpuAddonsArgs
from infra.components.monitoring import Monitoring, MonitoringArgs
from infra.components.namespace import Namespace, NamespaceArgs
from infra.components.secrets import DatabaseLogin, Secrets, SecretsArgs
from infra.schema import StackSettings
from infra.stack.foundation import Foundation

DATABASE = "spillway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Parts that the releases name. `ready`: what has to be there before gateway and engines."""

    namespace: Namespace
    edge: Edge | None
    providers: tuple[str, ...]
    service_monitors: bool
    ready: list[pulumi.Resource]


def make_services(settings: StackSettings, base: Foundation, pools: list[pulumi.Resource]) -> Services:
    """The namespace of the product has its Secrets, and all controllers run that it relies on."""
    name = settings.name
    database = Database(
        f"{name}-database", _database(settings, base), opts=pulumi.ResourceOptions(providers=[base.aws])
    )
    Alarms(f"{name}-alarms", _alarms(settings, base, database), opts=pulumi.ResourceOptions(providers=[base.aws]))
    namespace = _namespace(base, "spillway", "restricted")
    monitoring = _monitoring(settings, base)
    metrics = [] if monitoring is None else [monitoring]
    service_monitors = monitoring is not None and monitoring.service_monitors
    gpus = GpuAddons(
        f"{name}-gpu-addons",
        GpuAddonsArgs(provider=base.cluster.provider, service_monitors=service_monitors),
        opts=base.options(*base.nodes_ready, *metrics),
    )
    providers = _providers(settings)
    secrets = _secrets(settings, base, database, namespace, providers)
    edge = None
    if settings.edge.kind != "none":
        edge = Edge(f"{name}-edge", _edge(settings, base), opts=base.options(*base.nodes_ready))
    return Services(
        namespace=namespace,
        edge=edge,
        providers=tuple(providers),
        service_monitors=service_monitors,
        ready=[*metrics, gpus, secrets, *pools],
    )


def _namespace(base: Foundation, namespace: str, pod_security: str) -> Namespace:
    return Namespace(
        f"{base.tags['spillway:stack']}-{namespace}",
        NamespaceArgs(provider=base.cluster.provider, namespace=namespace, pod_security=pod_security),
        opts=base.options(*base.nodes_ready),
    )


def _monitoring(settings: StackSettings, base: Foundation) -> Monitoring | None:
    said = settings.observability
    if said.metrics == "none":
        return None
    return Monitoring(
        f"{settings.name}-monitoring",
        MonitoringArgs(
            kind=said.metrics,
            days=said.logs_days,
            # Its node exporter reads the node's own files and network.
            namespace=_namespace(base, "monitoring", "privileged").namespace,
            storage_class=base.storage.class_name,
            provider=base.cluster.provider,
            cluster_arn=base.cluster.arn,
            subnet_ids=tuple(base.network.private_subnet_ids.values()),
            security_group_id=base.cluster.security_group_id,
            key_arn=base.key.arn,
            tags=base.tags,
        ),
        opts=base.options(*base.nodes_ready),
    )


def _providers(settings: StackSettings) -> dict[str, str]:
    """Entries of Secrets Manager by provider of the catalogue; a variable that no provider reads is left out."""
    by_variable = {row.api_key_env: key for key, row in load_catalogue().providers.items()}
    entries = settings.secrets.provider_keys
    return {by_variable[variable]: entry for variable, entry in entries.items() if variable in by_variable}


def _secrets(
    settings: StackSettings, base: Foundation, database: Database, namespace: Namespace, providers: dict[str, str]
) -> Secrets:
    operator = _namespace(base, "external-secrets", "restricted")
    return Secrets(
        f"{settings.name}-secrets",
        SecretsArgs(
            cluster_name=settings.name,
            region=settings.region,
            account_id=base.account_id,
            operator_namespace=operator.namespace,
            namespace=namespace.namespace,
            gateway=settings.secrets.gateway or f"{settings.name}/gateway",
            hf_token=settings.secrets.hf_token,
            provider_keys=providers,
            login=DatabaseLogin(host=database.host, database=DATABASE, secret_arn=database.password_secret_arn),
            key_arn=base.key.arn,
            provider=base.cluster.provider,
            tags=base.tags,
        ),
        opts=base.options(*base.nodes_ready),
    )


def _database(settings: StackSettings, base: Foundation) -> DatabaseArgs:
    said = settings.database
    return DatabaseArgs(
        database=DATABASE,
        version=said.version,
        instance_class=said.instance_class,
        storage_gib=said.storage_gib,
        max_storage_gib=said.max_storage_gib,
        multi_az=said.multi_az,
        backup_days=said.backup_days,
        keep=said.deletion_protection,
        vpc_id=base.network.vpc_id,
        subnet_ids=tuple(base.network.private_subnet_ids.values()),
        client_group_ids={"nodes": base.cluster.security_group_id},
        key_arn=base.key.arn,
        tags=base.tags,
    )


def _alarms(settings: StackSettings, base: Foundation, database: Database) -> AlarmsArgs:
    said = settings.observability
    return AlarmsArgs(
        account_id=base.account_id,
        alarms={**database_alarms(database.identifier), **nat_alarms(base.network.nat_gateway_ids)},
        alarm_emails=said.alarm_emails,
        budget_usd_per_month=settings.budget_usd_per_month,
        budget_percents=said.budget_alert_percents,
        budget_emails=said.budget_alert_emails,
        tags=base.tags,
    )


def _edge(settings: StackSettings, base: Foundation) -> EdgeArgs:
    said = settings.edge
    return EdgeArgs(
        cluster_name=settings.name,
        region=settings.region,
        account_id=base.account_id,
        vpc_id=base.network.vpc_id,
        provider=base.cluster.provider,
        hostname=said.hostname,
        certificate_arn=said.certificate_arn,
        hosted_zone=said.hosted_zone,
        waf=said.waf,
        tags=base.tags,
    )
