"""etcd and a kube-apiserver: enough for CRDs, for what clients say to the API and for what it says to them."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.authority import Authority, Pair
from tests.cluster.component import Component, until
from tests.cluster.programs import built

READY_S = 60.0
PROBE_S = 2.0
FRONT_PROXY = "front-proxy-client"
ADMIN = "/O=system:masters/CN=spillway-test-admin"


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the two listen, and what they hand out."""

    host: str
    etcd_port: int
    etcd_peer_port: int
    api_port: int
    services: str
    service_host: str

    @property
    def server(self) -> str:
        """The URL of the API."""
        return f"https://{self.host}:{self.api_port}"


def etcd(folder: Path, at: Addresses, entered: Sequence[str]) -> Component:
    """The database; it never waits for the disk, as nothing in it outlives the test."""
    client, peer = f"http://127.0.0.1:{at.etcd_port}", f"http://127.0.0.1:{at.etcd_peer_port}"
    return Component(
        name="etcd",
        folder=folder,
        entered=entered,
        command=[
            *(built("etcd"), "--name=test", f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
            *(f"--initial-cluster=test={peer}", "--log-level=warn"),
        ],
    )


def api_server(
    folder: Path, at: Addresses, authority: Authority, *, admin: Pair, own_words: Sequence[str], entered: Sequence[str]
) -> Component:
    """The API, with its authorization and admission as in production."""
    serving = authority.issue(
        "kube-apiserver",
        "/CN=kube-apiserver",
        addresses=[at.host, "127.0.0.1", at.service_host],
        names=["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
    )
    return Component(
        name="kube-apiserver",
        folder=folder,
        entered=entered,
        command=[
            *(built("kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{at.etcd_port}"),
            *(f"--bind-address={at.host}", f"--advertise-address={at.host}", f"--secure-port={at.api_port}"),
            *(f"--tls-cert-file={serving.certificate}", f"--tls-private-key-file={serving.key}"),
            *(f"--client-ca-file={authority.certificate}", f"--cert-dir={folder}", "--authorization-mode=Node,RBAC"),
            *(
                f"--service-account-key-file={authority.accounts.certificate}",
                f"--service-cluster-ip-range={at.services}",
            ),
            f"--service-account-signing-key-file={authority.accounts.key}",
            *("--service-account-issuer=https://kubernetes.default.svc", "--enable-admission-plugins=NodeRestriction"),
            *(f"--kubelet-client-certificate={admin.certificate}", f"--kubelet-client-key={admin.key}"),
            *("--kubelet-preferred-address-types=InternalIP", "--allow-privileged=true"),
            *own_words,
        ],
    )


def passing_on(front: Pair, authority: Authority) -> tuple[str, ...]:
    """Flags with which the API passes groups that somebody else serves on to them, and tells them who asks."""
    return (
        f"--proxy-client-cert-file={front.certificate}",
        f"--proxy-client-key-file={front.key}",
        f"--requestheader-client-ca-file={authority.certificate}",
        f"--requestheader-allowed-names={FRONT_PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    )


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Asks the API whether it is ready, as an administrator."""

    at: Addresses
    authority: Authority
    admin: Pair

    def says_ready(self) -> bool:
        """Whether all of its checks pass."""
        trusting = ssl.create_default_context(cafile=str(self.authority.certificate))
        trusting.load_cert_chain(self.admin.certificate, self.admin.key)
        line = http.client.HTTPSConnection(self.at.host, self.at.api_port, timeout=PROBE_S, context=trusting)
        try:
            line.request("GET", "/readyz")
            return line.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            line.close()

    def until_ready(self, needs: Sequence[Component]) -> None:
        """The API is ready."""
        until(self.says_ready, within_s=READY_S, what="the API is ready", needs=needs)
