"""Metrics of gateways, engines, GPUs and nodes: Prometheus in the cluster, or Amazon's that scrapes it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_kubernetes as k8s
import yaml
from pulumi_aws import amp, cloudwatch

from infra.components.charts import ChartArgs, release

SCRAPED_PORTS = "http|admin|metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringArgs:
    """`kind` managed-prometheus: nothing is installed in the cluster. `days`: how long metrics, or logs, are kept."""

    kind: Literal["kube-prometheus-stack", "managed-prometheus"]
    days: int
    namespace: pulumi.Input[str]
    storage_class: pulumi.Input[str]
    provider: k8s.Provider
    cluster_arn: pulumi.Input[str]
    subnet_ids: tuple[pulumi.Input[str], ...]
    security_group_id: pulumi.Input[str]
    key_arn: pulumi.Input[str]
    tags: Mapping[str, str]


class Monitoring(pulumi.ComponentResource):
    """Where metrics go; `service_monitors` says whether charts may bring ServiceMonitors."""

    service_monitors: bool
    endpoint: pulumi.Output[str]

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Monitoring", name, None, opts)
        self._name, self._args = name, args
        self.service_monitors = args.kind == "kube-prometheus-stack"
        self.endpoint = self._in_cluster() if self.service_monitors else self._managed()
        self.register_outputs({"endpoint": self.endpoint})

    def _in_cluster(self) -> pulumi.Output[str]:
        args = self._args
        release(
            f"{self._name}-prometheus",
            ChartArgs(
                chart="kube-prometheus-stack",
                release="prometheus",
                namespace=args.namespace,
                values=_values(args.days, args.storage_class),
                wait_s=900,
            ),
            parent=self,
            provider=args.provider,
        )
        return pulumi.Output.concat("http://prometheus-operated.", args.namespace, ":9090")

    def _managed(self) -> pulumi.Output[str]:
        args = self._args
        child = pulumi.ResourceOptions(parent=self)
        log = cloudwatch.LogGroup(
            f"{self._name}-log",
            cloudwatch.LogGroupArgs(
                name_prefix="/aws/vendedlogs/prometheus/", retention_in_days=args.days, tags=dict(args.tags)
            ),
            opts=child,
        )
        workspace = amp.Workspace(
            f"{self._name}-workspace",
            amp.WorkspaceArgs(
                kms_key_arn=args.key_arn,
                logging_configuration=amp.WorkspaceLoggingConfigurationArgs(
                    log_group_arn=pulumi.Output.concat(log.arn, ":*")
                ),
                tags=dict(args.tags),
            ),
            opts=child,
        )
        amp.Scraper(
            f"{self._name}-scraper",
            amp.ScraperArgs(
                source=amp.ScraperSourceArgs(
                    eks=amp.ScraperSourceEksArgs(
                        cluster_arn=args.cluster_arn,
                        subnet_ids=args.subnet_ids,
                        security_group_ids=[args.security_group_id],
                    )
                ),
                destination=amp.ScraperDestinationArgs(amp=amp.ScraperDestinationAmpArgs(workspace_arn=workspace.arn)),
                scrape_configuration=_scraped(),
                tags=dict(args.tags),
            ),
            opts=child,
        )
        return workspace.prometheus_endpoint


def _values(days: int, storage_class: pulumi.Input[str]) -> dict[str, object]:
    claim = {
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "50Gi"}},
        }
    }
    return {
        # The chart's Grafana comes with a password that everybody knows: whoever wants it brings its secret.
        "grafana": {"enabled": False},
        # EKS shows none of these to anybody.
        "kubeControllerManager": {"enabled": False},
        "kubeEtcd": {"enabled": False},
        "kubeScheduler": {"enabled": False},
        "prometheus": {
            "prometheusSpec": {
                "retention": f"{days}d",
                "retentionSize": "45GB",
                "podMonitorSelectorNilUsesHelmValues": False,
                "ruleSelectorNilUsesHelmValues": False,
                "serviceMonitorSelectorNilUsesHelmValues": False,
                "storageSpec": {"volumeClaimTemplate": claim},
            }
        },
    }


def _scraped() -> str:
    job = {
        "job_name": "pods",
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": [
            {
                "source_labels": ["__meta_kubernetes_pod_container_port_name"],
                "regex": SCRAPED_PORTS,
                "action": "keep",
            },
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        ],
    }
    text = yaml.safe_dump({"global": {"scrape_interval": "30s"}, "scrape_configs": [job]}, sort_keys=False)
    return base64.b64encode(text.encode()).decode()
