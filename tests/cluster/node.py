"""The node: a kubelet, the Services of kube-proxy, and the names of CoreDNS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster import control_groups
from tests.cluster.authority import Authority
from tests.cluster.capsule import Capsule
from tests.cluster.component import Component
from tests.cluster.programs import built, installed

DOMAIN = "cluster.local"
NAMES_READY_PORT = 8181
_NAMES = """
{domain}:53 in-addr.arpa:53 {{
  errors
  ready {node}:{port}
  cache 5
  kubernetes {domain} in-addr.arpa {{
    kubeconfig {kubeconfig}
    ttl 5
  }}
}}
"""


@dataclass(frozen=True, kw_only=True)
class NodeGround:
    """What the parts of a node have in common. `name`: the node's, which is also that of its processes' logs."""

    name: str
    folder: Path
    capsule: Capsule
    authority: Authority
    server: str


def kubelet(ground: NodeGround) -> Component:
    """The kubelet, with a control group of its own, so that others on this machine do not meet it."""
    node, folder = ground.capsule.block.node, ground.folder
    pair = ground.authority.issue(
        "kubelet", f"/O=system:nodes/CN=system:node:{ground.name}", addresses=[node], names=[ground.name]
    )
    kubeconfig = ground.authority.kubeconfig(folder / "kubelet.kubeconfig", server=ground.server, pair=pair)
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": str(ground.authority.certificate)},
        },
        "tlsCertFile": str(pair.certificate),
        "tlsPrivateKeyFile": str(pair.key),
        "containerRuntimeEndpoint": f"unix://{folder / 'containerd.sock'}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{folder.name}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "failCgroupV1": False,
        # Imported images cannot be pulled again, so none is thrown away; a full disk is not what is tested.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "clusterDomain": DOMAIN,
        "clusterDNS": [node],
        "resolvConf": "",
        "volumePluginDir": str(folder / "volume-plugins"),
    }
    config = folder / "kubelet.yaml"
    config.write_text(yaml.safe_dump(settings))
    control_groups.make(folder.name)
    for program in ("iptables", "mount", "nsenter"):
        installed(program)
    return Component(
        name="kubelet",
        folder=folder,
        entered=ground.capsule.entered,
        command=[
            *(built("kubelet"), f"--config={config}", f"--kubeconfig={kubeconfig}"),
            *(f"--hostname-override={ground.name}", f"--node-ip={node}"),
        ],
    )


def kube_proxy(ground: NodeGround) -> Component:
    """Services by iptables, as on most clusters. Connection tracking is the machine's, so its limits are left alone."""
    pair = ground.authority.issue("kube-proxy", "/CN=system:kube-proxy")
    kubeconfig = ground.authority.kubeconfig(ground.folder / "kube-proxy.kubeconfig", server=ground.server, pair=pair)
    installed("iptables")
    installed("conntrack")
    return Component(
        name="kube-proxy",
        folder=ground.folder,
        entered=ground.capsule.entered,
        command=[
            *(built("kube-proxy"), f"--kubeconfig={kubeconfig}", f"--hostname-override={ground.name}"),
            *("--proxy-mode=iptables", f"--cluster-cidr={ground.capsule.block.pods}", "--conntrack-max-per-core=0"),
            *("--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"),
            *("--iptables-sync-period=10s", "--iptables-min-sync-period=100ms"),
        ],
    )


def names(ground: NodeGround) -> Component:
    """The names of Services for pods, by a process beside the kubelet: in pods of its own it would tell us no more."""
    pair = ground.authority.issue("coredns", "/O=system:masters/CN=coredns")
    kubeconfig = ground.authority.kubeconfig(ground.folder / "coredns.kubeconfig", server=ground.server, pair=pair)
    corefile = ground.folder / "Corefile"
    corefile.write_text(
        _NAMES.format(domain=DOMAIN, port=NAMES_READY_PORT, node=ground.capsule.block.node, kubeconfig=kubeconfig)
    )
    return Component(
        name="coredns",
        folder=ground.folder,
        entered=ground.capsule.entered,
        command=[built("coredns"), f"-conf={corefile}"],
    )
