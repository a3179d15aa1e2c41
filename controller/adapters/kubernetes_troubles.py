"""What the API refuses a pool, as what a person can act on. Pure."""

from __future__ import annotations

from controller.adapters.kubernetes_kinds import Json
from controller.adapters.kubernetes_pods import WORDS_MAX, condition
from controller.core.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterInvalid,
    ClusterNotFound,
    ForbiddenCause,
)
from controller.modelpool.facts import Obstacle, Trouble

_CAUSES = {
    ForbiddenCause.RIGHTS: Obstacle.FORBIDDEN,
    ForbiddenCause.QUOTA: Obstacle.QUOTA_EXCEEDED,
    ForbiddenCause.ADMISSION: Obstacle.REFUSED,
}


def troubles_of(error: ClusterError | None, failure: str) -> tuple[Trouble, ...]:
    """What is in the way: of our writes (`error`), and of pods being made (`failure`, in the cluster's words)."""
    found = []
    if error is not None and (obstacle := _obstacle(error)) is not None:
        found.append(Trouble(obstacle=obstacle, message=str(error)))
    if failure:
        quota = "exceeded quota" in failure or "failed quota" in failure
        found.append(Trouble(obstacle=Obstacle.QUOTA_EXCEEDED if quota else Obstacle.REFUSED, message=failure))
    return tuple(found)


def _obstacle(error: ClusterError) -> Obstacle | None:
    """None for what passes by itself."""
    match error:
        case ClusterForbidden():
            return _CAUSES[error.cause]
        case ClusterNotFound():
            return Obstacle.TARGET_NOT_FOUND
        case ClusterConflict():
            return Obstacle.FOUGHT_OVER
        case ClusterInvalid():
            return Obstacle.REFUSED
    return None


def missing_words(deployment: str) -> str:
    """What to say of a Deployment that is not there."""
    return f"there is no Deployment '{deployment}' in this namespace: make it, or mend `spec.scaleTargetRef.name`"


def failure_words(deployment: Json) -> str:
    """Why no pod of it can be made; "" where that is not so."""
    failure = condition(deployment, "ReplicaFailure")
    return str(failure.get("message") or failure.get("reason") or "") if failure.get("status") == "True" else ""


def no_pod_reason(deployment: Json) -> str:
    """Why a replica that is asked for has no pod."""
    words = failure_words(deployment)
    return f"no pod: {words}"[:WORDS_MAX] if words else "no pod yet"
