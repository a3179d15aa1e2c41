"""What Deployments and their pods mean: which pods are the replicas of a pool, in which state, and why. Pure.

Used by the controller's platform and by the gateways' feed, so that both mean the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from controller.adapters.kubernetes_kinds import Json
from controller.core.fleet import Replica, ReplicaState

DRAINING = "spillway.dev/draining"  # since when, RFC 3339: the controller takes it out of service
DRAIN_ORDER = "spillway.dev/drain"  # "true": an operator wants it to go
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
FIRST_TO_GO = "-2147483647"
WORDS_MAX = 240
SPELLED = {"In": "{key} in ({values})", "NotIn": "{key} notin ({values})", "Exists": "{key}", "DoesNotExist": "!{key}"}
_OVER = frozenset({"Failed", "Succeeded"})


def unix_s(text: object) -> float | None:
    """The time that an object says, in unix seconds; None where it says none."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def selects(selector: Mapping[str, object], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels; an empty one, which no Deployment may have, takes none."""
    wanted, rules = selector.get("matchLabels") or {}, selector.get("matchExpressions") or []
    if not isinstance(wanted, Mapping) or not isinstance(rules, list) or not (wanted or rules):
        return False
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        _follows(rule, labels) for rule in rules
    )


def _follows(rule: Json, labels: Mapping[str, str]) -> bool:
    has, value, values = rule["key"] in labels, labels.get(rule["key"]), rule.get("values") or []
    match rule["operator"]:
        case "In":
            return has and value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return has
        case "DoesNotExist":
            return not has
    return False


def selector_words(selector: Mapping[str, object]) -> str:
    """The selector as the API takes it in a query, which is what `status.selector` must hold."""
    wanted, rules = selector.get("matchLabels") or {}, selector.get("matchExpressions") or []
    if not isinstance(wanted, Mapping) or not isinstance(rules, list):
        return ""
    words = [f"{name}={value}" for name, value in sorted(wanted.items())]
    words += [
        SPELLED[rule["operator"]].format(key=rule["key"], values=",".join(rule.get("values") or [])) for rule in rules
    ]
    return ",".join(words)


def pods_of(deployment: Json, pods: Iterable[Json]) -> tuple[Json, ...]:
    """The pods of a Deployment: its labels, and not somebody else's by their owner."""
    selector, name = deployment["spec"].get("selector") or {}, str(deployment["metadata"]["name"])
    return tuple(
        pod for pod in pods if selects(selector, pod["metadata"].get("labels") or {}) and not _is_of_another(pod, name)
    )


class PodIndex:
    """Pods by the Deployment that they can be of: 200 pools do not look at each other's. Made once a picture."""

    def __init__(self) -> None:
        self._picture: Mapping[str, Json] = {}
        self._by_owner: dict[str | None, list[Json]] = {}

    def of(self, deployment: Json, pods: Mapping[str, Json]) -> tuple[Json, ...]:
        """The pods of a Deployment among these, as `pods_of` tells them."""
        if pods is not self._picture:
            self._picture, self._by_owner = pods, {}
            for pod in pods.values():
                self._by_owner.setdefault(_deployment_of(pod), []).append(pod)
        own = self._by_owner.get(str(deployment["metadata"]["name"]), ())
        return pods_of(deployment, (*own, *self._by_owner.get(None, ())))


def _is_of_another(pod: Json, deployment: str) -> bool:
    """Whether somebody else looks after it; a pod without an owner will be taken in by the Deployment."""
    return _deployment_of(pod) not in {None, deployment}


def _deployment_of(pod: Json) -> str | None:
    """The Deployment of its ReplicaSet, which has its name and a hash; "": it is another kind's, None: nobody's."""
    for owner in pod["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return str(owner["name"]).rpartition("-")[0] if owner.get("kind") == "ReplicaSet" else ""
    return None


def is_active(pod: Json) -> bool:
    """Whether its ReplicaSet counts it: it is neither over nor on its way out."""
    return pod["metadata"].get("deletionTimestamp") is None and (pod.get("status") or {}).get("phase") not in _OVER


def is_marked(pod: Json) -> bool:
    """Whether the controller takes it out of service."""
    return DRAINING in (pod["metadata"].get("annotations") or {})


def is_ordered_away(pod: Json) -> bool:
    """Whether an operator wants it to go."""
    return (pod["metadata"].get("annotations") or {}).get(DRAIN_ORDER) == "true"


def condition(holder: Json, kind: str) -> Json:
    """A condition of an object; empty where it has not been said."""
    conditions = (holder.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})


def is_ready(pod: Json) -> bool:
    """Whether its readiness holds."""
    return condition(pod, "Ready").get("status") == "True"


def restarts(pod: Json) -> int:
    """How often its containers were started again."""
    return sum(int(one.get("restartCount") or 0) for one in (pod.get("status") or {}).get("containerStatuses") or [])


def replica_of(pod: Json, *, pool: str, port: int, cold_start_s: float) -> Replica:
    """The pod as a replica. `ready_at_s` of one that warms is when it is due, of one that never served is None."""
    metadata, ready = pod["metadata"], condition(pod, "Ready")
    created_s = unix_s(metadata.get("creationTimestamp")) or 0.0
    since_s = unix_s(ready.get("lastTransitionTime"))
    state, reason = _state_of(pod)
    started_s = created_s
    if state is ReplicaState.WARMING and restarts(pod) and since_s is not None:
        started_s = since_s  # what it does now began when it was last ready, if it ever was
    return Replica(
        replica_id=str(metadata["name"]),
        pool=pool,
        url=_url(pod, port),
        state=state,
        started_at_s=started_s,
        ready_at_s=started_s + cold_start_s if state is ReplicaState.WARMING else since_s if _has_run(pod) else None,
        reason=reason[:WORDS_MAX],
    )


def _state_of(pod: Json) -> tuple[ReplicaState, str]:
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") is not None:
        return ReplicaState.DRAINING, "its pod is being deleted"
    if status.get("phase") in _OVER:
        return ReplicaState.LOST, ": ".join(str(status[one]) for one in ("reason", "message") if status.get(one))
    if is_marked(pod):
        return ReplicaState.DRAINING, ""
    return (ReplicaState.READY, "") if is_ready(pod) else (ReplicaState.WARMING, _waits_for(pod))


def is_without_node(pod: Json) -> bool:
    """Whether no node can take it."""
    scheduled = condition(pod, "PodScheduled")
    return scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"


def _waits_for(pod: Json) -> str:
    """Why it is not ready, in the words of whoever knows."""
    if is_without_node(pod):
        return f"no node: {condition(pod, 'PodScheduled').get('message') or 'unschedulable'}"
    status = pod.get("status") or {}
    for one in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            return ": ".join(str(waiting[part]) for part in ("reason", "message") if waiting.get(part))
    ready = condition(pod, "Ready")
    if ready.get("status") == "Unknown":
        return f"its node does not answer: {ready.get('reason') or 'unknown'}"
    return "starting"


def _has_run(pod: Json) -> bool:
    """Whether it may have served: its readiness holds, or a container of its got past its start."""
    containers = (pod.get("status") or {}).get("containerStatuses") or []
    return is_ready(pod) or any(one.get("started") or one.get("restartCount") for one in containers)


def _url(pod: Json, port: int) -> str:
    address = str((pod.get("status") or {}).get("podIP") or "")
    if not address:
        return ""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
