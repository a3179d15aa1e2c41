"""Starts the small level, on loopback and as any user: etcd and the API, in seconds, as often as is wanted."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import leftovers
from tests.cluster.authority import new_authority
from tests.cluster.control_plane import ADMIN, Addresses, Probe, api_server, etcd
from tests.cluster.handle import ControlPlane
from tests.cluster.ports import free_ports

LEVEL = "control-plane"
# Nobody is there to make service accounts, and no `kubernetes` endpoint leads to loopback.
OWN_WORDS = ("--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none")


def start_control_plane(*, keep: bool = False) -> ControlPlane:
    """A ready API. `keep`: it outlives this process."""
    leftovers.remove_orphans()
    folder = leftovers.new_folder(LEVEL, keep=keep)
    try:
        return _start(folder)
    except BaseException:
        leftovers.remove(folder)
        raise


def _start(folder: Path) -> ControlPlane:
    etcd_port, etcd_peer_port, api_port = free_ports(3)
    at = Addresses(
        host="127.0.0.1",
        etcd_port=etcd_port,
        etcd_peer_port=etcd_peer_port,
        api_port=api_port,
        services="10.0.0.0/24",
        service_host="10.0.0.1",
    )
    database = etcd(folder, at, ())
    database.start()
    authority = new_authority(folder / "certificates")
    admin = authority.issue("admin", ADMIN)
    api = api_server(folder, at, authority, admin=admin, own_words=OWN_WORDS, entered=())
    api.start()
    kubeconfig = authority.kubeconfig(folder / "kubeconfig", server=at.server, pair=admin)
    probe = Probe(at=at, authority=authority, admin=admin)
    probe.until_ready([database, api])
    return ControlPlane(
        folder=folder,
        kubeconfig=kubeconfig,
        server=at.server,
        components={one.name: one for one in (database, api)},
        probe=probe,
    )
