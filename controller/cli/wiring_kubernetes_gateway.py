"""Joins the gateway to a Kubernetes cluster: pools from ModelPools, replicas from pods."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from controller.cli.wiring_gateway import join_gateway, reload_of
from controller.cli.wiring_kubernetes import base_from, open_access

if TYPE_CHECKING:
    from controller.adapters.kubernetes_fleet import Rebased
    from controller.config.changes import Adoption
    from controller.config.settings import Settings
    from controller.gateway.server import Service


def build_gateway(
    config: Path | None,
    state_dir: Path | None,
    *,
    context: str | None = None,
    namespace: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Service, Settings]:
    """The data plane in a cluster, and what it begins with: the pools come once the cluster has been listed."""
    from controller.adapters.cluster_copy import ClusterCopy
    from controller.adapters.kubernetes_client import KubernetesClient
    from controller.adapters.kubernetes_fleet import KubernetesFleet
    from controller.cli.wiring import await_database
    from controller.gateway.server import Service
    from controller.modelpool.cluster_pools import cluster_pools
    from controller.telemetry.fleet_metrics import FleetMetrics

    variables = dict(os.environ if environ is None else environ)
    base = base_from(config, state_dir, variables)
    client = KubernetesClient(asyncio.run(open_access(context, namespace, variables)))
    settings = cluster_pools(base, ()).settings
    await_database(settings)
    fleet = KubernetesFleet(client, base, ClusterCopy(settings.state_dir))
    joined = join_gateway(settings, fleet, variables)
    fleet.on_pools(joined.take)

    def load() -> Rebased:
        found = fleet.worked_out(base_from(config, state_dir, variables))
        joined.prepare(found.pools.settings)
        return found

    def take(found: Rebased) -> Adoption:
        return joined.take(fleet.rebase(found))

    async def watch() -> None:
        try:
            await fleet.watch()
        finally:
            await fleet.close()

    service = Service(
        gateway=joined.gateway,
        clock=joined.clock,
        watch=watch,
        close=joined.close,
        books=joined.books,
        reloads=reload_of(settings.file, load, take),
        is_ready=lambda: fleet.is_known,
        collectors=(client.metrics, FleetMetrics(lambda: fleet.view().revision, lambda: fleet.from_disk)),
    )
    return service, settings
