"""Joins the control loop to Kubernetes: one client for the lease, one for all else, and what stands on its watches."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from controller.adapters.kubernetes_access import Access
    from controller.adapters.kubernetes_client import KubernetesClient
    from controller.adapters.kubernetes_events import KubernetesEvents
    from controller.adapters.kubernetes_kinds import Json
    from controller.adapters.kubernetes_pools import KubernetesPools
    from controller.adapters.kubernetes_status import KubernetesStatus
    from controller.adapters.kubernetes_watch import KubernetesWatch
    from controller.cli.reload import Reload
    from controller.config.changes import Adoption
    from controller.config.settings import Settings
    from controller.core.fleet import Replica
    from controller.loop.ports import EngineFeed, GatewayFeed
    from controller.loop.tick import ControlLoop
    from controller.modelpool.cluster_pools import ClusterBase
    from controller.modelpool.facts import PoolFacts

LEASE_TIMEOUT_S = 3.0
CLEAR_EVERY_S = 5.0
# Loaded before the lease is asked for: later it would take the event loop a second of computing, on a busy node more
# than the lease lasts.
NEEDED_TO_LEAD = (
    "controller.adapters.engine_scrape",
    "controller.adapters.kubernetes_events",
    "controller.adapters.kubernetes_gateways",
    "controller.adapters.kubernetes_pools",
    "controller.adapters.kubernetes_spec",
    "controller.adapters.kubernetes_status",
    "controller.cli.overrides",
    "controller.loop.tick",
    "controller.modelpool.facts",
    "controller.modelpool.pins",
)


async def open_access(context: str | None, namespace: str | None, environ: Mapping[str, str]) -> Access:
    """The way into the cluster that was asked for; `SPILLWAY_NAMESPACE` stands in for an option that was not given."""
    from controller.adapters.kubernetes_access import find_access

    return await find_access(environ, context=context, namespace=namespace or environ.get("SPILLWAY_NAMESPACE") or None)


def base_from(config: Path | None, state_dir: Path | None, environ: Mapping[str, str] | None = None) -> ClusterBase:
    """spillway.yaml without its pools, checked."""
    from controller.cli.wiring import config_file
    from controller.modelpool.cluster_pools import load_base

    variables = dict(os.environ if environ is None else environ)
    today: date = datetime.now(UTC).date()
    return load_base(config_file(config, variables), variables, today=today, state_dir=state_dir)


class ControllerOnKubernetes:
    """Satisfies `loop.elected.Cluster`."""

    def __init__(self, access: Access, base: ClusterBase, environ: Mapping[str, str]) -> None:
        from controller.adapters.clock import SystemClock
        from controller.adapters.kubernetes_client import KubernetesClient
        from controller.adapters.kubernetes_kinds import DEPLOYMENTS, MODEL_POOLS, PODS
        from controller.adapters.kubernetes_lease import KubernetesLease
        from controller.adapters.kubernetes_lease_thread import LeaseInThread
        from controller.adapters.kubernetes_memory import KubernetesMemory
        from controller.adapters.kubernetes_objects import slim_pod
        from controller.adapters.kubernetes_owner import OwnDeployment
        from controller.adapters.kubernetes_platform import KubernetesPlatform
        from controller.adapters.kubernetes_pools import slim_model_pool
        from controller.adapters.kubernetes_scaling import slim_deployment
        from controller.adapters.kubernetes_watch import KubernetesWatch
        from controller.telemetry.kubernetes_metrics import KubernetesMetrics

        for name in NEEDED_TO_LEAD:
            import_module(name)
        self._environ, self._base = environ, base
        self._clock = SystemClock()
        self._identity = environ.get("SPILLWAY_POD_NAME") or os.uname().nodename
        metrics = KubernetesMetrics()
        self._client: KubernetesClient = KubernetesClient(access, metrics=metrics, may_write=self._may_write)
        self._pools_watch = KubernetesWatch(self._client, MODEL_POOLS, slim=slim_model_pool)
        self._deployments = KubernetesWatch(self._client, DEPLOYMENTS, slim=slim_deployment)
        self._pods = KubernetesWatch(self._client, PODS, slim=slim_pod)
        owner = OwnDeployment(pod=self._identity, pods=self._pods, deployments=self._deployments)
        lease_client = KubernetesClient(access, metrics=metrics, timeout_s=LEASE_TIMEOUT_S)
        lease = KubernetesLease(lease_client, identity=self._identity, owner=owner)
        self.lease = LeaseInThread(lease, lease_client)
        self._memory = KubernetesMemory(self._client, epoch=lambda: self.lease.epoch, owner=owner)
        self._platform = KubernetesPlatform(
            self._client,
            deployments=self._deployments,
            pods=self._pods,
            now_s=self._clock.unix_s,
            before_scaling=self._memory.settled,
        )
        self._pools: KubernetesPools | None = None
        self._loop: ControlLoop | None = None
        self._status: KubernetesStatus | None = None
        self._events: KubernetesEvents | None = None
        self._writers: list[Callable[[], Coroutine[object, object, None]]] = []
        self._feeds: tuple[EngineFeed | GatewayFeed, ...] = ()

    @property
    def collectors(self) -> Sequence[Collector]:
        """Calls, lists and ages of watches."""
        return (self._client.metrics,)

    def stale(self) -> str:
        """Which kinds nothing has vouched for in a minute."""
        from controller.adapters.kubernetes_watch import stale_words

        return stale_words(self._all())

    def watches(self) -> Sequence[Coroutine[object, object, None]]:
        """One for each kind."""
        return [one.run() for one in self._all()]

    async def lead(self) -> ControlLoop:
        """The loop, from what a predecessor has left."""
        for watch in self._all():
            await watch.synced()
        await self._memory.load()
        self._build()
        if self._loop is None:
            raise AssertionError("it has just been built")
        return self._loop

    def writers(self) -> Sequence[Coroutine[object, object, None]]:
        """Of status, memory, Events, and pins that have expired."""
        return [one() for one in self._writers]

    def before_tick(self) -> None:
        """ModelPools that have changed since are taken over."""
        if self._pools is not None and self._pools.refresh():
            self._reconfigure()

    async def farewell(self) -> None:
        """The last status, memory and Events are written."""
        await self._memory.flush()
        if self._status is not None:
            await self._status.flush()
        if self._events is not None:
            await self._events.flush()

    async def close(self) -> None:
        """Afterwards no connection is open."""
        for feed in self._feeds:
            await feed.close()
        await self._client.close()
        await self.lease.close()

    def reload(self, load: Callable[[], ClusterBase]) -> Reload[ClusterBase]:
        """What reads spillway.yaml again."""
        from controller.cli.wiring_gateway import reload_of
        from controller.config.changes import adopt
        from controller.modelpool.cluster_pools import cluster_pools

        def take(base: ClusterBase) -> Adoption:
            before, self._base = self._base, base
            if self._pools is None:
                return adopt(cluster_pools(before, ()).settings, cluster_pools(base, ()).settings)
            self._pools.takes(self._base)
            return self._reconfigure()

        return reload_of(cluster_pools(self._base, ()).settings.file, load, take)

    def _may_write(self) -> None:
        self.lease.check()

    def _all(self) -> tuple[KubernetesWatch, ...]:
        return (self._pools_watch, self._deployments, self._pods)

    def _build(self) -> None:
        from controller.adapters.kubernetes_events import KubernetesEvents
        from controller.adapters.kubernetes_pools import KubernetesPools
        from controller.adapters.kubernetes_spec import KubernetesSpec
        from controller.adapters.kubernetes_status import KubernetesStatus
        from controller.cli.overrides import usable_providers
        from controller.loop.tick import ControlLoop

        self._pools = KubernetesPools(self._base, lambda: self._pools_watch.objects)
        settings = self._pools.current.settings
        self._platform.takes(self._pools.current.targets)
        self._events = events = KubernetesEvents(self._client, instance=self._identity)
        spec = KubernetesSpec(self._client, pools=self._pools_watch, pods=self._pods, now_s=self._clock.unix_s)
        status = KubernetesStatus(
            self._client,
            pools=self._pools_watch,
            events=events,
            facts=self._facts,
            listed=self._listed,
            now_s=self._clock.unix_s,
        )
        self._status = status
        self._open_feeds(settings)
        self._writers = [self._memory.run, status.run, events.run, lambda: spec.keep_clear(CLEAR_EVERY_S)]
        self._loop = ControlLoop(
            settings,
            platform=self._platform,
            engines=self._engines,
            gateway=self._gateways,
            spec=spec,
            sink=status,
            memory=self._memory,
            clock=self._clock,
            usable_providers=usable_providers(settings, self._environ),
        )

    def _open_feeds(self, settings: Settings) -> None:
        """What reads engines and gateways."""
        from controller.adapters.engine_scrape import EngineScraper
        from controller.adapters.kubernetes_gateways import KubernetesGateways

        self._engines = EngineScraper(settings.controller.scrape_timeout_s)
        self._gateways = KubernetesGateways(
            lambda: self._pods.objects,
            admin_port=settings.gateway.admin_port,
            timeout_s=settings.controller.scrape_timeout_s,
            now_s=self._clock.unix_s,
        )
        self._feeds = (self._engines, self._gateways)

    def _reconfigure(self) -> Adoption:
        from controller.cli.overrides import usable_providers

        if self._pools is None or self._loop is None:
            raise AssertionError("only one that leads has a loop")
        current = self._pools.current
        adoption = self._loop.reconfigure(current.settings, usable_providers(current.settings, self._environ))
        self._platform.takes(current.targets)
        self._engines.reconfigure(adoption.settings.controller.scrape_timeout_s)
        self._gateways.reconfigure(adoption.settings.controller.scrape_timeout_s)
        return adoption

    def _facts(self, item: Json) -> PoolFacts:
        from controller.modelpool.cluster_pools import facts_of

        if self._pools is None:
            raise AssertionError("only one that leads writes a status")
        name = str(item["metadata"]["name"])
        return facts_of(
            self._pools.current,
            item,
            troubles=self._platform.troubles_of(name),
            selector=self._platform.selector_of(name),
            now_s=self._clock.unix_s(),
        )

    def _listed(self, name: str) -> tuple[Replica, ...]:
        good = None if self._pools is None else self._pools.current.good.get(name)
        return () if good is None else self._platform.replicas_of(good.pool)
