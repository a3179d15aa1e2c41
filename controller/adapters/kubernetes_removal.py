"""How one very pod of a Deployment goes, and its Deployment shrinks for it exactly once. Pure.

A ReplicaSet that must shrink takes pods without a node first, then pending ones, those that are not ready, those of
the lowest deletion cost, the youngest. So, where all others are ready, a pod of the lowest cost is the one that goes
once the Deployment is shrunk by one. Where others are not, they would go instead, with all the loading they have
done: then the pod is deleted first, and the ReplicaSet's replacement for it goes when the Deployment is shrunk. So it
is where some that are asked for have no pod yet: a smaller number would take one of these away, and no more.

`spec.replicas` is the truth about how many there shall be; a pod for which it was shrunk counts no more, also while
it is still there. Who was shrunk for is remembered; who was not there to remember tells by the surplus: so many pods
will go.

What is left open: a pod that became less likely to go in the moment between shrinking and the ReplicaSet's work,
under a controller that dies in that moment. Its successor shrinks again, finds one replica too few, and starts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from controller.adapters.kubernetes_kinds import Json
from controller.adapters.kubernetes_pods import DELETION_COST, is_active, is_marked, is_ready, unix_s

TEMPLATE = "pod-template-hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A pod as its ReplicaSet ranks it. `marked`: the controller takes it out of service."""

    name: str
    uid: str
    template: str = ""
    active: bool = True
    marked: bool = False
    has_node: bool = True
    running: bool = True
    ready: bool = True
    cost: int = 0
    made_s: float = 0.0


class Step(Enum):
    """What is to be done next, so that a pod goes."""

    NOTHING = "nothing"
    SHRINK = "shrink"
    DELETE = "delete"
    DELETE_THEN_SHRINK = "delete then shrink"


def member_of(pod: Json) -> Member:
    """A pod as its ReplicaSet sees it."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    cost = (metadata.get("annotations") or {}).get(DELETION_COST, "0")
    return Member(
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        template=str((metadata.get("labels") or {}).get(TEMPLATE) or ""),
        active=is_active(pod),
        marked=is_marked(pod),
        has_node=bool((pod.get("spec") or {}).get("nodeName")),
        running=status.get("phase") == "Running",
        ready=is_ready(pod),
        cost=int(cost) if cost.lstrip("-").isdecimal() else 0,
        made_s=unix_s(metadata.get("creationTimestamp")) or 0.0,
    )


def goes_before(one: Member) -> tuple[bool, bool, bool, int, float, str]:
    """The order in which a ReplicaSet lets pods go."""
    return (one.has_node, one.running, one.ready, one.cost, -one.made_s, one.name)


def shrunk_for(members: Iterable[Member], replicas: int, known: frozenset[str]) -> frozenset[str]:
    """The pods that are there and count no more, by uid: those `known`, and marked ones that a surplus says will go.

    Pods of two templates are a rollout: then there are more of them for another reason.
    """
    active = sorted((one for one in members if one.active), key=goes_before)
    is_rollout = len({one.template for one in active}) > 1
    surplus = 0 if is_rollout else max(0, len(active) - replicas)
    known = known & {one.uid for one in active}
    told = [one.uid for one in active[:surplus] if one.marked and one.uid not in known]
    return known | frozenset(told[: max(0, surplus - len(known))])


def next_step(uid: str, members: Sequence[Member], replicas: int, gone: frozenset[str]) -> Step:
    """What makes that pod go; `gone`: pods that were shrunk for."""
    active = sorted((one for one in members if one.active), key=goes_before)
    names = [one.uid for one in active]
    if uid not in names:
        return Step.NOTHING
    surplus = len(active) - replicas
    if uid in gone:
        return Step.NOTHING if uid in names[: max(0, surplus)] else Step.DELETE
    if replicas <= 0:
        return Step.NOTHING  # all of them are on their way
    pending = gone & set(names)
    left = [one for one in names if one not in pending]
    goes_next = left[0] == uid and set(names[: len(pending)]) == pending and replicas <= len(left)
    return Step.SHRINK if goes_next else Step.DELETE_THEN_SHRINK


def placeholders(members: Iterable[Member], replicas: int, gone: frozenset[str]) -> int:
    """How many are asked for that have no pod yet."""
    return max(0, replicas - sum(1 for one in members if one.active and one.uid not in gone))


def uncounted(members: Iterable[Member], replicas: int, gone: frozenset[str]) -> frozenset[str]:
    """Pods beyond what is asked for, by name: a rollout's, nobody's to scale away; those that start, the newest."""
    counted = [one for one in members if one.active and one.uid not in gone]
    surplus = max(0, len(counted) - replicas)
    free = sorted((one for one in counted if not one.marked), key=lambda one: (one.ready, -one.made_s, one.name))
    return frozenset(one.name for one in free[:surplus])
