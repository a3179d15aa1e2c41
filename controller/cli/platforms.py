"""On what gateway and controller run, as their options say it: processes of this machine, or a Kubernetes cluster."""

from __future__ import annotations

from enum import StrEnum

import typer


class Where(StrEnum):
    """What replicas are."""

    PROCESSES = "processes"
    KUBERNETES = "kubernetes"


PLATFORM = typer.Option(
    "--platform",
    envvar="SPILLWAY_PLATFORM",
    help="processes: of this machine; kubernetes: pools are ModelPools, replicas are pods",
)
NAMESPACE = typer.Option(
    "--namespace", "-n", help="of the ModelPools [default: the pod's own, else that of kubeconfig]"
)
CONTEXT = typer.Option("--context", help="of kubeconfig, for a process outside of the cluster")
