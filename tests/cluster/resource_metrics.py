"""What pods use of CPU and memory, as the kubelet measures it, for HorizontalPodAutoscalers: the real metrics-server.

A process beside the kubelet, as CoreDNS is; the API passes questions for `metrics.k8s.io` on to it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.component import Component, until
from tests.cluster.errors import CommandFailed
from tests.cluster.programs import built
from tests.cluster.whole import Cluster

NAME, SPACE, PORT = "metrics-server", "kube-system", 4443
GROUP = "v1beta1.metrics.k8s.io"
SERVED_S = 60.0
RESOLUTION = "10s"  # the shortest that it takes


@contextmanager
def resource_metrics(cluster: Cluster) -> Iterator[None]:
    """`kubectl top pods` works and HorizontalPodAutoscalers know what pods use, until the block ends."""
    component = _server(cluster)
    component.start()
    try:
        cluster.apply(*_objects(cluster))
        until(lambda: _serves(cluster), within_s=SERVED_S, what="pods are measured", needs=[component])
        yield
    finally:
        # First the word of it: the API removes no namespace while a group that it has been told of does not answer.
        cluster.kubectl("delete", "apiservice", GROUP, "--ignore-not-found")
        component.stop()


def _server(cluster: Cluster) -> Component:
    authority, folder = cluster.probe.authority, cluster.folder
    pair = authority.issue(NAME, f"/O=system:masters/CN={NAME}", names=[f"{NAME}.{SPACE}.svc"])
    kubeconfig = authority.kubeconfig(folder / f"{NAME}.kubeconfig", server=cluster.server, pair=pair)
    return Component(
        name=NAME,
        folder=folder,
        entered=cluster.capsule.entered,
        command=[
            *(built(NAME), f"--kubeconfig={kubeconfig}", f"--secure-port={PORT}", f"--metric-resolution={RESOLUTION}"),
            *(f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}"),
            *(f"--tls-cert-file={pair.certificate}", f"--tls-private-key-file={pair.key}"),
            f"--kubelet-certificate-authority={authority.certificate}",
            *("--kubelet-preferred-address-types=InternalIP", "--kubelet-request-timeout=5s"),
        ],
    )


def _objects(cluster: Cluster) -> list[dict[str, object]]:
    """A Service that leads to the process on the node, and the word that it answers for the group."""
    where = {"name": NAME, "namespace": SPACE}
    port = {"name": "https", "port": 443, "targetPort": PORT}
    bundle = base64.b64encode(cluster.probe.authority.certificate.read_bytes()).decode()
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": where, "spec": {"ports": [port]}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**where, "labels": {"kubernetes.io/service-name": NAME}},
            "addressType": "IPv4",
            "ports": [{"name": "https", "port": PORT}],
            "endpoints": [{"addresses": [cluster.capsule.block.node]}],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": GROUP},
            "spec": {
                "service": {"name": NAME, "namespace": SPACE},
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "caBundle": bundle,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]


def _serves(cluster: Cluster) -> bool:
    try:
        return bool(cluster.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes").strip())
    except CommandFailed:
        return False
