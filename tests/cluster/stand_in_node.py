"""A stand-in for scheduler and kubelet: pods of a namespace get this node, start cold, and have engines behind them.

The pods are made by the real controller manager; this binds them, says what a kubelet would say of them, runs what
`make_engine` gives at each pod's own address of loopback, and lets them go when they are deleted. A test says how much
room there is, how long a start takes, and which pods fail and how.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import aiohttp

from tests.cluster.admin_client import AdminClient, Json
from tests.cluster.errors import CommandFailed

NODE = "stand-in"
GONE = (404, 409)
PAUSE_S = 0.2
NO_ROOM = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


class Engine(Protocol):
    """What listens at a pod's address."""

    async def listen(self) -> None:
        """It serves from now on."""
        ...

    async def die(self) -> None:
        """Nothing of it answers any more."""
        ...

    def is_idle(self) -> bool:
        """Whether it answers nobody at the moment."""
        ...


MakeEngine = Callable[[str, str, int], Engine]  # name of the pod, address, port


@dataclass(kw_only=True)
class Ward:
    """A pod that this node looks after."""

    name: str
    uid: str
    pod: Json
    address: str
    engine: Engine | None = None
    leaves: asyncio.Event = field(default_factory=asyncio.Event)
    served: bool = False
    bound: bool = False
    restarts: int = 0
    task: asyncio.Task[None] | None = None


class StandInNode:
    """All pods of a namespace that a Deployment has made. `room`: for so many, None: for all."""

    def __init__(
        self,
        api: AdminClient,
        namespace: str,
        make_engine: MakeEngine,
        *,
        cold_start_s: float = 0.5,
        room: int | None = None,
        selector: str = "app.kubernetes.io/component=engine",
        nodes: Sequence[str] = (NODE,),
    ) -> None:
        self._api, self._make_engine = api, make_engine
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._selector, self._nodes = selector, nodes
        self.cold_start_s = cold_start_s
        self.wards: dict[str, Ward] = {}
        self.made: list[str] = []  # every pod that there ever was
        self._room = room
        self._given = 0
        self._network = random.SystemRandom().randrange(16, 250)
        self._changed = asyncio.Condition()

    @property
    def serving(self) -> dict[str, Ward]:
        """Those that are ready and not on their way out."""
        return {name: one for name, one in self.wards.items() if one.served and not one.leaves.is_set()}

    async def set_room(self, room: int | None) -> None:
        """There is room for so many pods from now on; those that are there stay."""
        self._room = room
        async with self._changed:
            self._changed.notify_all()

    async def silence(self, name: str) -> None:
        """What runs in the pod is dead; the pod says nothing of it."""
        engine = self.wards[name].engine
        assert engine is not None
        await engine.die()

    async def crash(self, name: str) -> None:
        """Its container has ended and is in a crash loop."""
        ward = self.wards[name]
        if ward.engine is not None:
            await ward.engine.die()
        ward.restarts += 1
        ward.served = False
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
        await self._say(ward, phase="Running", ready=False, state=waiting)

    async def run(self) -> None:
        """Looks after pods until cancelled; then their engines are dead."""
        try:
            while True:
                with contextlib.suppress(aiohttp.ClientError, CommandFailed, TimeoutError, ConnectionError):
                    await self._follow()
                await asyncio.sleep(PAUSE_S)
        finally:
            tasks = [one.task for one in self.wards.values() if one.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for ward in self.wards.values():
                if ward.engine is not None:
                    await ward.engine.die()

    async def _follow(self) -> None:
        found = await self._api.get(self._pods, {"labelSelector": self._selector})
        there = {str(pod["metadata"]["uid"]) for pod in found["items"]}
        for ward in list(self.wards.values()):
            if ward.uid not in there:
                await self._drop(ward)
        for pod in found["items"]:
            self._take(pod)
        async with contextlib.aclosing(
            self._api.events(f"{self._pods}?labelSelector={self._selector}", found["metadata"]["resourceVersion"])
        ) as events:
            async for change, pod in events:
                if change == "ERROR":
                    return
                if change == "DELETED":
                    gone = self.wards.get(str(pod["metadata"]["name"]))
                    if gone is not None:
                        await self._drop(gone)
                else:
                    self._take(pod)

    def _take(self, pod: Json) -> None:
        name = str(pod["metadata"]["name"])
        ward = self.wards.get(name)
        if ward is None:
            self._given += 1
            address = f"127.{self._network}.{self._given // 250}.{self._given % 250 + 1}"
            ward = Ward(name=name, uid=str(pod["metadata"]["uid"]), pod=pod, address=address)
            self.wards[name] = ward
            self.made.append(name)
            ward.task = asyncio.create_task(self._life(ward), name=f"pod-{name}")
        if pod["metadata"].get("deletionTimestamp") is not None:
            ward.leaves.set()

    async def _drop(self, ward: Ward) -> None:
        del self.wards[ward.name]
        if ward.task is not None and ward.task is not asyncio.current_task():
            ward.task.cancel()
            await asyncio.gather(ward.task, return_exceptions=True)
        if ward.engine is not None:
            await ward.engine.die()
        async with self._changed:
            self._changed.notify_all()

    async def _life(self, ward: Ward) -> None:
        """A pod's life: a node, a start, service, the end."""
        while True:
            try:
                if not ward.leaves.is_set() and not ward.served and not ward.restarts:
                    await self._begin(ward)
                await ward.leaves.wait()
                await self._end(ward)
                return
            except (aiohttp.ClientError, CommandFailed, TimeoutError, ConnectionError):
                await asyncio.sleep(PAUSE_S)  # the API is away

    async def _begin(self, ward: Ward) -> None:
        if not await self._gets_room(ward):
            return
        await self._say(ward, phase="Pending", ready=False, state={"waiting": {"reason": "ContainerCreating"}})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ward.leaves.wait(), self.cold_start_s)
        if ward.leaves.is_set():
            return
        port = int(ward.pod["spec"]["containers"][0]["ports"][0]["containerPort"])
        if ward.engine is None:
            ward.engine = self._make_engine(ward.name, ward.address, port)
            await ward.engine.listen()
        await self._say(ward, phase="Running", ready=True, state={"running": {"startedAt": _now()}})
        ward.served = True

    async def _gets_room(self, ward: Ward) -> bool:
        """Waits for room, and takes it; False where the pod leaves before."""
        told = False
        while not ward.bound:
            if ward.leaves.is_set():
                return False
            if self._room is None or sum(one.bound for one in self.wards.values()) < self._room:
                ward.bound = True
                break
            if not told:
                told = True
                await self._unscheduled(ward)
            leaving = asyncio.create_task(ward.leaves.wait())
            waiting = asyncio.create_task(self._next_change())
            await asyncio.wait({leaving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            for task in (leaving, waiting):
                task.cancel()
        target = {"apiVersion": "v1", "kind": "Node", "name": random.choice(self._nodes)}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": ward.name}, "target": target}
        await self._api.call("POST", f"{self._pods}/{ward.name}/binding", body, allowed=GONE)
        return True

    async def _next_change(self) -> None:
        async with self._changed:
            await self._changed.wait()

    async def _end(self, ward: Ward) -> None:
        """It answers what it has begun, as long as its grace lasts, and is gone."""
        loop = asyncio.get_running_loop()
        found = await self._api.call("GET", f"{self._pods}/{ward.name}", allowed=(404,))
        grace_s = float((found.get("metadata") or {}).get("deletionGracePeriodSeconds") or 0)
        ends_s = loop.time() + grace_s
        while ward.engine is not None and not ward.engine.is_idle() and loop.time() < ends_s:
            await asyncio.sleep(0.02)
        if ward.engine is not None:
            await ward.engine.die()
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        body["preconditions"] = {"uid": ward.uid}
        await self._api.call("DELETE", f"{self._pods}/{ward.name}", body, allowed=GONE)

    async def _unscheduled(self, ward: Ward) -> None:
        scheduled = _condition("PodScheduled", holds=False) | {"reason": "Unschedulable", "message": NO_ROOM}
        await self._api.patch(f"{self._pods}/{ward.name}/status", {"status": {"conditions": [scheduled]}}, allowed=GONE)

    async def _say(self, ward: Ward, *, phase: str, ready: bool, state: Mapping[str, object]) -> None:
        names = ("PodScheduled", "Initialized", "PodReadyToStartContainers", "ContainersReady", "Ready")
        container = {
            "name": str(ward.pod["spec"]["containers"][0]["name"]),
            "image": str(ward.pod["spec"]["containers"][0]["image"]),
            "imageID": "",
            "ready": ready,
            "started": ready,
            "restartCount": ward.restarts,
            "state": state,
        }
        status = {
            "phase": phase,
            "hostIP": "127.0.0.1",
            "podIP": ward.address,
            "podIPs": [{"ip": ward.address}],
            "startTime": _now(),
            "conditions": [_condition(name, holds=ready or not name.endswith("Ready")) for name in names],
            "containerStatuses": [container],
        }
        await self._api.patch(f"{self._pods}/{ward.name}/status", {"status": status}, allowed=GONE)


def _condition(name: str, *, holds: bool) -> dict[str, str]:
    return {"type": name, "status": "True" if holds else "False", "lastTransitionTime": _now()}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
