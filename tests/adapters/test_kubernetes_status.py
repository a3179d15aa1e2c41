"""The status of ModelPools: what is worth a call, and how soon."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_events import KubernetesEvents
from controller.adapters.kubernetes_kinds import MODEL_POOLS
from controller.adapters.kubernetes_status import KubernetesStatus
from controller.adapters.kubernetes_watch import KubernetesWatch
from controller.core.fleet import FleetView, PoolView, Replica, ReplicaState, RoutingMode
from controller.modelpool.facts import PoolFacts
from tests.adapters import cluster_world
from tests.adapters.fake_apiserver import running_apiserver
from tests.adapters.kubernetes_world import NOW_S, pool_of

NAME = "llama-8b"
READY = Replica(replica_id="a", pool=NAME, url="http://a", state=ReplicaState.READY, started_at_s=NOW_S)
CALM = PoolView(name=NAME, replicas=(READY,), mode=RoutingMode.LOCAL, desired_replicas=1, wanted_reason="it fits")


async def test_words_are_looked_at_every_few_seconds_and_all_else_in_each_flush() -> None:
    """Other words come 15 s after the last write, and up to 5 s later; a change of the mode comes at once."""
    now_s = NOW_S

    def first_reason() -> object:
        return cluster_world.status_of(api, NAME)["lastDecision"]["reason"]

    async with running_apiserver() as api:
        await api.put(cluster_world.MODEL_POOLS, cluster_world.model_pool(NAME))
        client = KubernetesClient(api.access())
        pools = KubernetesWatch(client, MODEL_POOLS)
        facts = PoolFacts(name=NAME, generation=1, pool=pool_of(NAME))
        status = KubernetesStatus(
            client,
            pools=pools,
            events=KubernetesEvents(client, instance="c"),
            facts=lambda _: facts,
            listed=lambda _: (),
            now_s=lambda: now_s,
        )
        watching = asyncio.create_task(pools.run(), name="modelpools")
        try:
            assert await pools.wait_synced(10.0)
            told = []
            for later_s, words in ((0.0, "it fits"), (14.0, "it nearly fits"), (16.0, ""), (18.0, ""), (19.0, "")):
                now_s = NOW_S + later_s
                status.publish(FleetView(pools={NAME: replace(CALM, wanted_reason=words or "it fits no more")}))
                await status.flush()
                told.append(first_reason())
            assert told == ["it fits", "it fits", "it fits", "it fits", "it fits no more"]
            status.publish(FleetView(pools={NAME: replace(CALM, mode=RoutingMode.SPILLING, spill_ratio=0.5)}))
            await status.flush()
            assert cluster_world.status_of(api, NAME)["routing"]["mode"] == "Spilling"
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await client.close()
