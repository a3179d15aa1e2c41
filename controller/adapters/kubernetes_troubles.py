"""What the API refuses a pool, as what a person can act on. Pure."""

from __future__ import annotations

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
