"""The EKS cluster, the nodes that hold the system itself, and what adds GPU nodes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from infra.schema.values import Arn, Cidr, Days, Gib, InstanceType, Nodes, Section, Switch

ControlPlaneLog = Literal["api", "audit", "authenticator", "controllerManager", "scheduler"]


class ClusterSettings(Section):
    """EKS: its version, who reaches it, how it packs pods."""

    version: Annotated[str, Field(pattern=r"^1\.[0-9]{2}$", description="an EKS version such as 1.34")] = "1.35"
    service_cidr: Cidr = "172.20.0.0/16"  # of ClusterIP services; cannot be changed later
    public_endpoint_cidrs: tuple[Cidr, ...] = ()  # empty: the private endpoint alone
    admin_role_arns: tuple[Arn, ...] = ()  # besides who creates the cluster
    bin_packing: Switch = True  # kube_scheduler_config MostAllocated, so that GPUs are filled node by node
    deletion_protection: Switch = True
    upgrade_support: Literal["STANDARD", "EXTENDED"] = "STANDARD"
    control_plane_logs: frozenset[ControlPlaneLog] = frozenset({"api", "audit", "authenticator"})
    control_plane_logs_days: Days = 90


class CoreNodeSettings(Section):
    """Nodes without a GPU: the gateway, the controller, add-ons, monitoring."""

    instance_type: InstanceType = "m6a.xlarge"
    min_nodes: Nodes = 2
    desired_nodes: Nodes = 3
    max_nodes: Nodes = 6
    disk_gib: Gib = 100


class NodeAutoscalingSettings(Section):
    """What adds and removes nodes; the controller decides how many replicas there are."""

    kind: Literal["cluster-autoscaler", "karpenter", "none"] = "cluster-autoscaler"
    scale_down_idle_s: Annotated[int, Field(strict=True, ge=60, le=86_400)] = 600
    expire_after_hours: Annotated[int, Field(strict=True, ge=1, le=8760)] = 720  # karpenter alone
