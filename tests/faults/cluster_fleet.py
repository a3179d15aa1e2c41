"""A fleet on a real API in the hands of a row: what it is, what can be asked and done, and its invariants."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.cluster.admin_client import AdminClient
from tests.cluster.apiserver_proxy import ApiserverProxy
from tests.cluster.errors import CommandFailed
from tests.cluster.handle import ControlPlane
from tests.cluster.stand_in_node import StandInNode
from tests.faults.caller import ANSWERED
from tests.faults.cluster_controller import ClusterController
from tests.faults.fleet_history import History, end_state, without_conditions, writers_complaint
from tests.faults.gateway_process import POOL
from tests.faults.name_server import NameServer
from tests.faults.rows import Row, row
from tests.faults.world import World, eventually

OUTSIDE = {"stub-openai": "openai"}
TICK_S = 0.5
LEASE = "spillway-controller"
SAME_S = 60.0
READY_S = 150.0  # on a busy machine; what must be faster is judged where that means something
AUTOSCALE = {"coldStartSeconds": 1, "scaleDownCooldownSeconds": 2, "drainDeadlineSeconds": 5}
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the fleet is."""

    minimum: int = 1
    maximum: int = 4
    replicas: int = 1
    pools: tuple[str, ...] = (POOL,)
    room: int | None = None
    cold_start_s: float = 0.3
    controllers: int = 1
    tick_s: float = TICK_S
    autoscale: Mapping[str, int] = field(default_factory=lambda: AUTOSCALE)
    wrapper: Sequence[str] = ()  # of the controllers
    spills: bool = True
    names: NameServer | None = None  # gateway and controllers ask it alone, and providers have names
    engine: Mapping[str, int] = field(default_factory=dict)  # more of how the pods' engine was launched


PAIR = Shape(replicas=2, minimum=2)


@dataclass
class Fleet:
    """Everything a row works with."""

    plane: ControlPlane
    namespace: str
    api: AdminClient
    node: StandInNode
    gateway_proxy: ApiserverProxy
    controllers: list[ClusterController]
    history: History
    shape: Shape
    world: World
    asked_before: int = 0  # the row

    @property
    def controller(self) -> ClusterController:
        """The first one."""
        return self.controllers[0]

    def path(self, kind: str, name: str = "", part: str = "") -> str:
        """Where objects of the fleet are."""
        groups = {
            "pods": "/api/v1",
            "resourcequotas": "/api/v1",
            "deployments": "/apis/apps/v1",
            "horizontalpodautoscalers": "/apis/autoscaling/v2",
            "modelpools": "/apis/spillway.dev/v1alpha1",
            "leases": "/apis/coordination.k8s.io/v1",
            "events": "/apis/events.k8s.io/v1",
            "roles": "/apis/rbac.authorization.k8s.io/v1",
        }
        return "/".join(filter(None, (f"{groups[kind]}/namespaces/{self.namespace}/{kind}", name, part)))

    async def status(self, pool: str = POOL) -> Json:
        """The pool's, as kubectl would show it."""
        found: Json = (await self.api.get(self.path("modelpools", pool))).get("status") or {}
        return found

    async def condition(self, kind: str, pool: str = POOL) -> Json:
        """A condition of the pool; empty where it is not said."""
        conditions = (await self.status(pool)).get("conditions") or []
        return next((one for one in conditions if one["type"] == kind), {})

    async def replicas(self, pool: str = POOL) -> int:
        """How many the Deployment shall have."""
        return int((await self.api.get(self.path("deployments", pool)))["spec"]["replicas"])

    async def pin(self, replicas: int, pool: str = POOL) -> None:
        """As `kubectl scale` does; 0 takes the pin away."""
        await self.api.patch(self.path("modelpools", pool, "scale"), {"spec": {"replicas": replicas}})

    async def settles(self, replicas: int, pool: str = POOL, within_s: float = READY_S) -> float:
        """Seconds until so many replicas are asked for, there, ready, and known as such, and nothing is under way."""

        async def is_so() -> bool:
            ended = [one.name for one in self.controllers if one.code() not in (None, 1, -9)]
            assert not ended, f"{ended} ended: {self.controller.tail()}"
            with contextlib.suppress(CommandFailed, OSError):
                if await self.replicas(pool) != replicas:
                    return False
                pods = (await self.api.get(self.path("pods"), {"labelSelector": f"pool={pool}"}))["items"]
                known = (await self.status(pool)).get("replicas") or {}
                counted = [known.get(name) or 0 for name in ("ready", "warming", "draining")]
                return len(pods) == replicas and counted == [replicas, 0, 0]
            return False

        try:
            return await eventually(is_so, within_s=within_s, every_s=0.1)
        except AssertionError:
            state = await end_state(self.api, self.namespace)
            raise AssertionError(f"not {replicas} within {within_s} s: {state}\n{self.controller.tail()}") from None

    async def end_state(self) -> Json:
        """All that is to be as without a fault."""
        return await end_state(self.api, self.namespace)

    async def pinned(self) -> Json:
        """The state at rest of a fleet whose pools are pinned to what they began with, and known to be."""
        shape = self.shape
        there = shape.replicas if shape.room is None else min(shape.room, shape.replicas)
        for pool in shape.pools:
            await self.pin(there, pool)
        for pool in shape.pools:
            await self.settles(there, pool)
            await eventually(lambda pool=pool: self._is_paused(pool), within_s=READY_S, every_s=0.1)  # type: ignore[misc]
        return await self.end_state()

    async def _is_paused(self, pool: str) -> bool:
        return (await self.condition("Paused", pool)).get("status") == "True"

    async def ends_otherwise(self, expected: Json, excused: Sequence[str] = ()) -> str:
        """How the fleet differs in the end from one that had no fault, in words; "" where it does not."""
        await self.pinned()
        return await self.differs(expected, excused)

    async def differs(self, expected: Json, excused: Sequence[str] = ()) -> str:
        """How a fleet at rest differs from that, in words; "" where it does not, or soon no longer does: what the
        controller says of itself comes a tick after what it did.
        """
        last: Json = {}

        async def is_equal() -> bool:
            nonlocal last
            last = without_conditions(await self.end_state(), excused)
            return last == without_conditions(expected, excused)

        try:
            await eventually(is_equal, within_s=SAME_S, every_s=0.2)
        except AssertionError:
            return f"the end is {last}, without the fault {expected}"
        return ""

    async def ask_for(self, seconds: float, *, per_s: float = 5.0) -> None:
        """Requests one after another for some time; the row judges what they were told."""
        ends_s, number = time.monotonic() + seconds, 0
        while time.monotonic() < ends_s:
            number += 1  # each begins in its own way, so that no replica knows it already
            messages = [{"role": "user", "content": f"{number}: {self.world.canaries.prompt}"}]
            await self.world.ask(stream=False, fields={"max_tokens": 5, "messages": messages})
            await asyncio.sleep(1.0 / per_s)

    async def keep_controllers(self) -> None:
        """What a kubelet does, until cancelled. Nobody waits for the lease of a controller that is known to be dead."""
        while True:
            for one in self.controllers:
                if one.lives and one.is_kept and not one.is_running():
                    with contextlib.suppress(CommandFailed, OSError, TimeoutError, aiohttp.ClientError):
                        if await self.leader() == one.name:
                            await self.free_lease()
                    one.start()
            await asyncio.sleep(0.1)

    def all_answered(self) -> None:
        """Whoever has asked since the row began has an answer."""
        for one in self.world.told[self.asked_before :]:
            assert one.end == ANSWERED, f"{one.end} {one.status} after {one.took_s:.2f} s: {one.body[:300]!r}"

    async def free_lease(self) -> None:
        """The next controller need not wait for the lease to run out: for rows that are not about that."""
        path = self.path("leases", LEASE)
        await self.api.patch(path, {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}, allowed=(404,))

    async def leader(self) -> str:
        """The name of the controller that holds the lease; "" where none does."""
        lease = await self.api.call("GET", self.path("leases", LEASE), allowed=(404,))
        return str((lease.get("spec") or {}).get("holderIdentity") or "").rpartition("-")[0]

    async def events(self) -> list[str]:
        """Reasons of the Events of this namespace."""
        found = await self.api.get(self.path("events"))
        return [str(one.get("reason")) for one in found["items"]]

    def complaint(self, *, takeovers: int) -> str:
        """I8: bounds, writers."""
        bounds = dict.fromkeys(self.shape.pools, (self.shape.minimum, self.shape.maximum))
        wrong = [self.history.beyond(bounds), writers_complaint(self.controllers, takeovers=takeovers)]
        if self.gateway_proxy.writes():
            wrong.append(f"the gateway wrote: {self.gateway_proxy.writes()[0].asked}")
        return "; ".join(filter(None, wrong))


@contextlib.asynccontextmanager
async def cluster_row(
    fleet: Fleet, case: str, what: str, *, takeovers: int = 0, excused: Sequence[str] = ()
) -> AsyncIterator[Row]:
    """A row whose line has I8 too: bounds, writers, and in the end the state of a fleet without a fault.

    `takeovers`: how many the row makes. `excused`: conditions that tell of the fault for longer than the row lasts.
    """
    expected = await fleet.pinned()
    if fleet.shape.replicas == fleet.shape.minimum:
        for pool in fleet.shape.pools:
            await fleet.pin(0, pool)
    fleet.asked_before = len(fleet.world.told)
    async with row(fleet.world, case, what) as line:
        yield line
        otherwise = await fleet.ends_otherwise(expected, excused)
        said = [fleet.complaint(takeovers=takeovers), otherwise]
        line.invariants["I8"] = "; ".join(filter(None, said))
