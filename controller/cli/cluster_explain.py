"""`spillway explain pool` on a cluster: the status of the ModelPool, and the prices that only the controller has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from controller.cli.cluster import open_cluster
from controller.cli.cluster_options import ClusterWish
from controller.cli.cluster_pages import read_leader, with_figures
from controller.cli.cluster_pool import note_silence
from controller.cli.pool_report import unknown
from controller.cli.status_conditions import conditions_of, known_figures, told_conditions

if TYPE_CHECKING:
    from controller.adapters.kubernetes_client import KubernetesClient
    from controller.adapters.kubernetes_sight import Sight
    from controller.core.fleet import FleetView


LEFT_OUT = "pool      {name}: left out until its spec is mended; gateways do not know it"


def explain_pool(wish: ClusterWish, *, name: str, as_json: bool) -> None:
    """Why the pool has the replicas and the routing it has."""
    from controller.cli.explain import facts, told
    from controller.cli.output import console, emit_json, say
    from controller.modelpool.objects import part
    from controller.modelpool.views import is_left_out

    now_s = time.time()
    with open_cluster(wish) as cluster:
        sight, leading = cluster.do(lambda client: _read(client, now_s))
        if name not in sight.views:
            raise unknown("pool", name, sight.views, wish.command("pool list"))
        pool = with_figures(sight.views[name], leading)
        conditions = conditions_of(sight.pools[name])
        if as_json:
            age_s = None if sight.leader is None else round(sight.leader.age_s, 1)
            emit_json(
                "pool_explained",
                {**known_figures(sight.pools[name], facts(pool)), "age_s": age_s, "conditions": conditions},
            )
            return
        lines = [LEFT_OUT.format(name=name)]
        if not is_left_out(part(sight.pools[name], "status")):
            lines = told(pool, _home_use_ratio(sight, name))
        for line in lines if leading is not None else [line for line in lines if not line.startswith("prices ")]:
            console().print(line, markup=False)
        for line in told_conditions({"conditions": conditions}):
            console().print(f"condition {line}", markup=False)
        if leading is None:
            say("note", "the controller's page cannot be read from here (pods/proxy): prices are not told")
        note_silence(cluster, sight)
        say("next", f"its Events: {wish.kubectl(f'describe modelpool {name}')}")


async def _read(client: KubernetesClient, now_s: float) -> tuple[Sight, FleetView | None]:
    from controller.adapters.kubernetes_sight import look

    sight = await look(client, now_s)
    return sight, await read_leader(client, sight)


def _home_use_ratio(sight: Sight, name: str) -> float | None:
    from controller.modelpool.objects import number, part

    percent = number(part(sight.pools[name], "spec", "autoscale"), "homeUsePercent")
    return None if percent is None else percent / 100
