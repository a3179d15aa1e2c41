"""What acts on objects by itself: the controller manager and the scheduler."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.authority import Authority
from tests.cluster.capsule import Capsule
from tests.cluster.component import Component
from tests.cluster.programs import built


def controller_manager(folder: Path, capsule: Capsule, authority: Authority, server: str) -> Component:
    """Deployments, Jobs, endpoints, garbage collection, service accounts and all the rest."""
    pair = authority.issue("kube-controller-manager", "/CN=system:kube-controller-manager")
    kubeconfig = authority.kubeconfig(folder / "kube-controller-manager.kubeconfig", server=server, pair=pair)
    return Component(
        name="kube-controller-manager",
        folder=folder,
        entered=capsule.entered,
        command=[
            *(built("kube-controller-manager"), f"--kubeconfig={kubeconfig}", "--leader-elect=false"),
            *(f"--root-ca-file={authority.certificate}", "--bind-address=127.0.0.1", f"--cert-dir={folder}"),
            *(f"--service-account-private-key-file={authority.accounts.key}", "--use-service-account-credentials"),
            *(f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}"),
        ],
    )


def scheduler(folder: Path, capsule: Capsule, authority: Authority, server: str) -> Component:
    """Pods get nodes."""
    pair = authority.issue("kube-scheduler", "/CN=system:kube-scheduler")
    kubeconfig = authority.kubeconfig(folder / "kube-scheduler.kubeconfig", server=server, pair=pair)
    return Component(
        name="kube-scheduler",
        folder=folder,
        entered=capsule.entered,
        command=[
            *(built("kube-scheduler"), f"--kubeconfig={kubeconfig}", "--leader-elect=false"),
            *("--bind-address=127.0.0.1", f"--cert-dir={folder}"),
            *(f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}"),
        ],
    )
