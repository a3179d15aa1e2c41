"""Starts the whole cluster, as root: what waits for nobody starts at once, the rest when the API is ready."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tests.cluster import leftovers
from tests.cluster.authority import new_authority
from tests.cluster.capsule import Capsule, open_capsule
from tests.cluster.control_plane import ADMIN, FRONT_PROXY, Addresses, Probe, api_server, etcd, passing_on
from tests.cluster.errors import ClusterError
from tests.cluster.managers import controller_manager, scheduler
from tests.cluster.node import NodeGround, kube_proxy, kubelet, names
from tests.cluster.node_runtime import import_own_images, runtime
from tests.cluster.policies import policy_keeper
from tests.cluster.whole import Cluster

LEVEL = "cluster"
NODE = "node-1"


def start_cluster(*, keep: bool = False, policies: bool = False) -> Cluster:
    """A cluster with a ready node. `keep`: it outlives this process. `policies`: NetworkPolicies hold."""
    if os.geteuid() != 0:
        raise ClusterError("the whole cluster makes namespaces, mounts and control groups: run it as root, or use kind")
    leftovers.remove_orphans()
    folder = leftovers.new_folder(LEVEL, keep=keep)
    try:
        return _start(folder, open_capsule(folder), policies=policies)
    except BaseException:
        leftovers.remove(folder)
        raise


def _start(folder: Path, capsule: Capsule, *, policies: bool) -> Cluster:
    block, entered = capsule.block, capsule.entered
    at = Addresses(
        host=block.node,
        etcd_port=2379,
        etcd_peer_port=2380,
        api_port=6443,
        services=str(block.services),
        service_host=str(block.services[1]),
    )
    database, containers = etcd(folder, at, entered), runtime(folder, capsule)
    database.start()
    containers.component.start()
    authority = new_authority(folder / "certificates")
    admin = authority.issue("admin", ADMIN)
    words = passing_on(authority.issue("front-proxy", f"/CN={FRONT_PROXY}"), authority)
    api = api_server(folder, at, authority, admin=admin, own_words=words, entered=entered)
    api.start()
    ground = NodeGround(name=NODE, folder=folder, capsule=capsule, authority=authority, server=at.server)
    later = [
        controller_manager(folder, capsule, authority, at.server),
        scheduler(folder, capsule, authority, at.server),
        *(kubelet(ground), kube_proxy(ground), names(ground)),
    ]
    containers.until_ready()
    import_own_images(containers, folder)
    probe = Probe(at=at, authority=authority, admin=admin)
    probe.until_ready([database, api])
    for component in later:
        component.start()
    cluster = Cluster(
        folder=folder,
        kubeconfig=authority.kubeconfig(folder / "kubeconfig", server=at.server, pair=admin),
        server=at.server,
        components={one.name: one for one in (capsule.holder, database, containers.component, api, *later)},
        probe=probe,
        node=NODE,
        capsule=capsule,
        runtime=containers,
    )
    cluster.until_ready()
    if not policies:
        return cluster
    keeper = policy_keeper(ground)  # it ends where it does not find the node
    keeper.start()
    return replace(cluster, components={**cluster.components, keeper.name: keeper})
