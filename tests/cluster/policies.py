"""Holds NetworkPolicies on the node, by the firewall part of kube-router: a bridge alone does not."""

from __future__ import annotations

from tests.cluster.component import Component
from tests.cluster.node import NodeGround
from tests.cluster.programs import built, installed

HEALTH_PORT = 20244


def policy_keeper(ground: NodeGround) -> Component:
    """Traffic of pods is as the NetworkPolicies say; the node itself reaches its pods, for probes."""
    pair = ground.authority.issue("kube-router", "/O=system:masters/CN=kube-router")
    kubeconfig = ground.authority.kubeconfig(ground.folder / "kube-router.kubeconfig", server=ground.server, pair=pair)
    for program in ("iptables", "ipset"):
        installed(program)
    return Component(
        name="kube-router",
        folder=ground.folder,
        entered=ground.capsule.entered,
        command=[
            *(built("kube-router"), f"--kubeconfig={kubeconfig}", f"--hostname-override={ground.name}"),
            *("--run-firewall=true", "--run-router=false", "--run-service-proxy=false", "--run-loadbalancer=false"),
            *("--enable-cni=false", f"--service-cluster-ip-range={ground.capsule.block.services}"),
            *(f"--health-port={HEALTH_PORT}", "--metrics-port=0"),
        ],
    )
