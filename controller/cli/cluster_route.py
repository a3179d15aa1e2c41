"""`spillway route explain` on a cluster: by its spillway.yaml, its ModelPools and what their status says now."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from controller.cli.cluster import open_cluster
from controller.cli.cluster_config import settings_there
from controller.cli.cluster_options import ClusterWish
from controller.cli.route import explained, read_request, show
from controller.core.fleet import FleetView
from controller.core.requests import Operation, Phase


def explain(
    wish: ClusterWish,
    *,
    file: str,
    header: list[str],
    operation: Operation | None,
    tenant: str,
    phase: Phase | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Which targets the gateways there would send a request to. Sends nothing; its text stays on this machine."""
    from controller.adapters.kubernetes_sight import look

    asked, now_s = read_request(file, header, operation), time.time()
    with open_cluster(wish) as cluster:
        settings = settings_there(cluster, config, datetime.now(UTC).date())
        sight = cluster.do(lambda client: look(client, now_s))
    if phase is not None:
        settings = replace(settings, phase=phase)
    good = {name: view for name, view in sight.views.items() if name in settings.pools}
    refused = [name for name in sight.views if name not in good]
    notes = [f"ModelPools that are refused are no targets: {', '.join(refused)}"] if refused else []
    view = FleetView(published_at_s=now_s, pools=good)
    show(explained(settings, asked, view, notes, tenant=tenant), as_json=as_json)
