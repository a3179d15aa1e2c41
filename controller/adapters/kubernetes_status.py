"""The published view as the status of each ModelPool: what people see, what gateways route by. A `FleetSink`.

`publish` hands a view over; `run` writes what of it is worth a call, by server-side apply, so that fields which are
not said any more are gone, and fenced by version. A pool whose status is refused is tried ever less often, by itself.
Fields that an older ModelPool resource in the cluster lacks are left out, and tried again every five minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from controller.adapters.kubernetes_backoff import Backoffs
from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_events import Happening, KubernetesEvents
from controller.adapters.kubernetes_kinds import MODEL_POOLS, Json
from controller.adapters.kubernetes_objects import version_of
from controller.adapters.kubernetes_watch import KubernetesWatch
from controller.core.errors import ClusterConflict, ClusterError, ClusterNotFound, ClusterUnavailable
from controller.core.fleet import FleetView, PoolView, Replica
from controller.modelpool.events import events_of
from controller.modelpool.facts import PoolFacts
from controller.modelpool.status import pool_status
from controller.modelpool.undeclared import Undeclared
from controller.modelpool.views import view_from_status
from controller.modelpool.writes import LOOK_EVERY_S, needs_write, seen_at_once

log = structlog.get_logger()

MANAGER = "spillway-controller"
AT_ONCE = 8  # calls


@dataclass(frozen=True, slots=True)
class _Look:
    """A pool whose status was made and needed no call. `signs`: of the view."""

    item: Json
    facts: PoolFacts
    signs: tuple[object, ...]
    at_s: float

    def holds(self, item: Json, facts: PoolFacts, signs: tuple[object, ...], now_s: float) -> bool:
        """Whether making it again would come to the same, but for words and figures that can wait."""
        is_young = abs(now_s - self.at_s) < LOOK_EVERY_S
        return is_young and self.item is item and self.facts == facts and self.signs == signs


class KubernetesStatus:
    """`facts` says what is known of an object beside the view; `listed` which replicas a pool has."""

    def __init__(
        self,
        client: KubernetesClient,
        *,
        pools: KubernetesWatch,
        events: KubernetesEvents,
        facts: Callable[[Json], PoolFacts],
        listed: Callable[[str], tuple[Replica, ...]],
        now_s: Callable[[], float],
    ) -> None:
        self._client = client
        self._pools = pools
        self._events = events
        self._facts = facts
        self._listed = listed
        self._now_s = now_s
        self._view: FleetView | None = None
        self._news = asyncio.Event()
        self._written_at_s: dict[str, float] = {}
        self._looks: dict[str, _Look] = {}
        self._backoffs = Backoffs(now_s)
        self._undeclared = Undeclared()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def publish(self, view: FleetView) -> None:
        """Afterwards it is written as soon as can be, or a newer one is."""
        self._view = view
        self._news.set()

    def last(self) -> FleetView | None:
        """As an earlier controller has published it, with the replicas there are now; None when nobody has."""
        pools: dict[str, PoolView] = {}
        for name, item in self._pools.objects.items():
            status = item.get("status") or {}
            if status.get("routing"):
                pools[name] = view_from_status(name, status, self._listed(name))
        return FleetView(pools=pools) if pools else None

    async def run(self) -> None:
        """Writes what is published, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.flush()

    async def flush(self) -> None:
        """Afterwards every object says what the newest view does, as far as that is worth a call and may be written."""
        views = {} if self._view is None else self._view.pools
        objects = self._pools.objects
        self._written_at_s = {name: at_s for name, at_s in self._written_at_s.items() if name in objects}
        self._looks = {name: look for name, look in self._looks.items() if name in objects}
        await asyncio.gather(*(self._alone(item, views) for item in objects.values()))

    async def _alone(self, item: Json, views: Mapping[str, PoolView]) -> None:
        try:
            await self._write(item, views)
        except Exception:  # a defect ends the status of its pool, not that of the others
            log.exception("status_failed", pool=item["metadata"]["name"])

    async def _write(self, item: Json, views: Mapping[str, PoolView]) -> None:
        name, now_s = str(item["metadata"]["name"]), self._now_s()
        view, facts, look = views.get(name), self._facts(item), self._looks.get(name)
        signs = seen_at_once(view)
        if look is not None and look.holds(item, facts, signs, now_s):
            return
        previous: Json | None = item.get("status") or None
        following = self._undeclared.left_out(pool_status(facts, view, previous, now_s), now_s)
        written_at_s = self._written_at_s.get(name, 0.0)
        if not needs_write(previous, following, written_at_s=written_at_s, now_s=now_s):
            self._looks[name] = _Look(item, facts, signs, now_s)
            return
        try:
            async with self._slots:
                with self._backoffs.writing(name):
                    following = await self._apply_declared(item, following)
        except (ClusterConflict, ClusterNotFound):
            return  # changed or gone meanwhile: the next view is written over what is there then
        except ClusterError as error:
            if self._backoffs.is_news(name):
                log.warning("status_not_written", pool=name, error=str(error))
            return
        self._written_at_s[name] = now_s
        for event in events_of(previous, following):
            told = Happening(about=item, kind=event.type, reason=event.reason, action=event.action, note=event.note)
            self._events.tell(told)

    async def _apply_declared(self, item: Json, status: Json) -> Json:
        """What was written: without the fields that the cluster's schema turns out not to have."""
        while True:
            try:
                await self._apply(item, status)
            except ClusterUnavailable as error:
                if not self._undeclared.hear(str(error), self._now_s()):
                    raise
                log.warning(
                    "status_fields_left_out",
                    reason="the ModelPool resource of the cluster is older",
                    fields=self._undeclared.paths,
                )
                status = self._undeclared.left_out(status, self._now_s())
            else:
                return status

    async def _apply(self, item: Json, status: Json) -> None:
        name = str(item["metadata"]["name"])
        body = {
            "apiVersion": MODEL_POOLS.api_version,
            "kind": MODEL_POOLS.name,
            "metadata": {"name": name, "resourceVersion": version_of(item)},
            "status": status,
        }
        path = MODEL_POOLS.path(self._client.namespace, name, "status")
        self._pools.learn(await self._client.apply(path, body, manager=MANAGER))
