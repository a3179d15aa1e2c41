"""What makes GPUs usable and visible: NVIDIA's device plugin and the DCGM exporter. Drivers come in the AMI."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from infra.components.charts import ChartArgs, release

ON_GPU_NODES = {"nvidia.com/gpu.present": "true"}
TOLERATED = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuAddonsArgs:
    """`service_monitors`: whether the Prometheus operator's resources are there."""

    provider: k8s.Provider
    service_monitors: bool


class GpuAddons(pulumi.ComponentResource):
    """Daemons of every GPU node."""

    def __init__(self, name: str, args: GpuAddonsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:GpuAddons", name, None, opts)
        release(
            f"{name}-device-plugin",
            ChartArgs(
                chart="nvidia-device-plugin",
                release="nvidia-device-plugin",
                namespace="kube-system",
                values={
                    "nodeSelector": ON_GPU_NODES,
                    "tolerations": TOLERATED,
                    "priorityClassName": "system-node-critical",
                },
            ),
            parent=self,
            provider=args.provider,
        )
        release(
            f"{name}-dcgm-exporter",
            ChartArgs(
                chart="dcgm-exporter",
                release="dcgm-exporter",
                namespace="kube-system",
                values={
                    "nodeSelector": ON_GPU_NODES,
                    "tolerations": TOLERATED,
                    "serviceMonitor": {"enabled": args.service_monitors},
                },
            ),
            parent=self,
            provider=args.provider,
        )
        self.register_outputs({})
