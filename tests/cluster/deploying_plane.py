"""The small level with the real controller manager beside it, on loopback and as any user: Deployments make pods.

Nobody gives the pods a node: `stand_in_node` does, or a test by hand.
"""

from __future__ import annotations

from dataclasses import replace

from tests.cluster.component import Component
from tests.cluster.handle import ControlPlane
from tests.cluster.ports import free_ports
from tests.cluster.programs import built
from tests.cluster.start_control_plane import start_control_plane

MANAGER = "kube-controller-manager"
# No node is there whose absence could be noticed, and 500 pods are made in one go by the tests of scale.
CONTROLLERS = (
    "deployment-controller,replicaset-controller,garbage-collector-controller,resourcequota-controller,"
    "clusterrole-aggregation-controller,horizontal-pod-autoscaler-controller"
)


def start_deploying_plane(*, keep: bool = False) -> ControlPlane:
    """A ready API, and Deployments become pods."""
    plane = start_control_plane(keep=keep)
    try:
        manager = controller_manager(plane)
        manager.start()
    except BaseException:
        plane.remove()
        raise
    return replace(plane, components={**plane.components, MANAGER: manager})


def manager_begins_anew(plane: ControlPlane) -> None:
    """As after any outage of the API elsewhere: its own election, which this one does not hold, ends it after 10 s.

    Left alone it pauses for up to 30 s before it looks whether the API is back.
    """
    manager = plane.component(MANAGER)
    manager.kill()
    manager.start()


def controller_manager(plane: ControlPlane, controllers: str = CONTROLLERS) -> Component:
    """The parts of it that need no node, or those that are named."""
    (port,) = free_ports(1)
    return Component(
        name=MANAGER,
        folder=plane.folder,
        command=[
            *(built(MANAGER), f"--kubeconfig={plane.kubeconfig}", "--leader-elect=false"),
            *("--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={plane.folder}"),
            *(f"--controllers={controllers}", "--kube-api-qps=500", "--kube-api-burst=1000"),
            *("--concurrent-deployment-syncs=10", "--concurrent-replicaset-syncs=10"),
        ],
    )
