"""What the platform remembers of pods and of places without a pod, from one listing to the next. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from controller.core.fleet import Replica, ReplicaState


@dataclass(slots=True)
class _Life:
    """One pod's. `ready_s`: since when it is ready; None while it is not."""

    started_s: float
    ready_s: float | None = None


class Lives:
    """When pods began what they do now: a pod that was ready and starts anew begins anew."""

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}

    def dated(self, uid: str, replica: Replica, cold_start_s: float, now_s: float) -> Replica:
        """The replica with the times that hold for it."""
        life = self._lives.setdefault(uid, _Life(started_s=min(replica.started_at_s, now_s)))
        if replica.state is ReplicaState.READY:
            if life.ready_s is None:
                life.ready_s = min(now_s, replica.ready_at_s or now_s)
            return replace(replica, started_at_s=life.started_s, ready_at_s=max(life.started_s, life.ready_s))
        if replica.state is ReplicaState.WARMING:
            if life.ready_s is not None:
                life.started_s, life.ready_s = now_s, None
            return replace(replica, started_at_s=life.started_s, ready_at_s=life.started_s + cold_start_s)
        return replace(replica, started_at_s=life.started_s, ready_at_s=life.ready_s or replica.ready_at_s)

    def keep(self, uids: Collection[str]) -> None:
        """Forget all others."""
        self._lives = {uid: life for uid, life in self._lives.items() if uid in uids}


@dataclass(slots=True)
class _Place:
    """One replica that is asked for and has no pod."""

    name: str
    since_s: float
    draining: bool = False


@dataclass(slots=True)
class Places:
    """The places without a pod of one Deployment; the oldest that shall stay gets the next pod."""

    deployment: str
    _count: int = 0
    _places: list[_Place] = field(default_factory=list)

    def become(self, count: int, now_s: float) -> None:
        """Afterwards there are so many."""
        while len(self._places) < count:
            self._count += 1
            self._places.append(_Place(name=f"{self.deployment}#{self._count}", since_s=now_s))
        while len(self._places) > count:
            self._places.remove(next((one for one in self._places if not one.draining), self._places[0]))

    def newest(self) -> str:
        """The name of the one that was asked for last."""
        return self._places[-1].name if self._places else f"{self.deployment}#0"

    def has(self, name: str) -> bool:
        """Whether it is a place without a pod."""
        return any(one.name == name for one in self._places)

    def drain(self, name: str) -> None:
        """From now on it is listed as draining."""
        for one in self._places:
            one.draining = one.draining or one.name == name

    def recall(self, now_s: float) -> str | None:
        """One that was to go stays, as asked for now: its name; None where none was."""
        for one in self._places:
            if one.draining:
                one.draining, one.since_s = False, now_s
                return one.name
        return None

    def drop(self, name: str) -> None:
        """Afterwards it is not there any more."""
        self._places = [one for one in self._places if one.name != name]

    def replicas(self, pool: str, reason: str, cold_start_s: float) -> tuple[Replica, ...]:
        """All of them as replicas."""
        return tuple(
            Replica(
                replica_id=one.name,
                pool=pool,
                url="",
                state=ReplicaState.DRAINING if one.draining else ReplicaState.WARMING,
                started_at_s=one.since_s,
                ready_at_s=None if one.draining else one.since_s + cold_start_s,
                reason=reason,
            )
            for one in self._places
        )
