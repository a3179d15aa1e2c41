"""`spec.replicas` of Deployments, by their scale subresource: one writer, fenced by version, who fights with nobody.

Every write is for the number of replicas that decisions were based on: where the cluster has another one meanwhile,
nothing is written. Where somebody else sets that number too, at most four writes a minute are made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import DEPLOYMENTS, Json
from controller.adapters.kubernetes_objects import is_older, version_of, without_managed_fields
from controller.core.errors import ClusterConflict, ClusterUnavailable

TRIES = 4  # a Deployment's status changes all the time while it is scaled, and its version with it
CONTESTED_S = 300.0  # since somebody else has last set the number
WRITES_PER_MINUTE = 4
FOUGHT_OVER = "FoughtOver"
US = "spillway"  # as the API names a writer by its User-Agent


@dataclass(slots=True)
class _Known:
    """What is known of one Deployment's number. `ours`: as we wrote it last; None before we ever did. `decided_on`: as
    it was when what is to be done now was decided, and as we have changed it since.
    """

    version: str = ""
    replicas: int = 0
    ours: int | None = None
    decided_on: int | None = None
    written_s: deque[float] = field(default_factory=deque)
    contested_s: float | None = None
    by: str = ""


def slim_deployment(found: Json) -> Json:
    """What of a Deployment is asked for; its pods' template is not, but for the GPUs that one takes."""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    kept = without_managed_fields(found)["metadata"]
    return {
        "metadata": kept,
        "spec": {"replicas": spec.get("replicas", 1), "selector": spec.get("selector") or {}},
        "status": status,
        "scaledBy": scaled_by(found),
    }


def scaled_by(found: Json) -> str:
    """Who has set the number of replicas last, as the API has noted it."""
    for entry in (found.get("metadata") or {}).get("managedFields") or []:
        spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        if "f:replicas" in spec:
            return str(entry.get("manager") or "")
    return ""


class Scaling:
    """The numbers of all Deployments, as the watch says them and as we have written them since."""

    def __init__(
        self, client: KubernetesClient, deployments: Callable[[], Mapping[str, Json]], now_s: Callable[[], float]
    ) -> None:
        self._client = client
        self._deployments = deployments
        self._now_s = now_s
        self._known: dict[str, _Known] = {}

    def replicas(self, name: str) -> int:
        """How many there shall be by the newest word, ours or the watch's."""
        known = self._known.setdefault(name, _Known())
        seen = self._deployments()[name]
        version, by = version_of(seen), str(seen.get("scaledBy") or "")
        if by not in {"", US}:
            known.by = by
        if known.version == "" or is_older(known.version, version):
            self._hear(known, int(seen["spec"]["replicas"]), version)
        return known.replicas

    def decide_on(self, name: str) -> None:
        """What is written from now on until the next decision is written for the number that is known now alone."""
        known = self._known[name]
        known.decided_on = known.replicas

    def fought_over(self, name: str) -> str:
        """Who else sets the number, in words; "" where nobody does."""
        known = self._known.get(name)
        if known is None or known.contested_s is None or self._now_s() - known.contested_s >= CONTESTED_S:
            return ""
        who = f"'{known.by}'" if known.by else "somebody"
        return (
            f"{who} has set `spec.replicas` of Deployment '{name}' to {known.replicas} while this pool is scaled here"
        )

    async def change(self, name: str, by: int) -> int:
        """Afterwards there shall be `by` more; how many that are. Nothing where the number is not as it was known."""
        base = self.replicas(name)
        self.check(name)
        path = DEPLOYMENTS.path(self._client.namespace, name, "scale")
        for tries in range(TRIES):
            scale = await self._client.get(path)
            found = int((scale.get("spec") or {}).get("replicas") or 0)
            if tries and found == max(0, base + by):  # a write of ours whose answer got lost, and that was sent again
                self._wrote(name, scale)
                return found
            if found != base:
                self._hear(self._known[name], found, version_of(scale))
                raise _changed(name, found, base)
            scale["spec"] = {"replicas": max(0, base + by)}
            try:
                self._wrote(name, await self._client.replace(path, scale))
            except ClusterConflict:
                if tries == TRIES - 1:
                    raise
            except ClusterUnavailable:
                self._known[name].ours = None  # it may have been written or not
                raise
            else:
                return self._known[name].replicas
        raise AssertionError("the last try returns or raises")

    def _hear(self, known: _Known, replicas: int, version: str) -> None:
        if known.ours is not None and replicas != known.ours:
            known.contested_s, known.ours = self._now_s(), None
        known.version, known.replicas = version, replicas

    def _wrote(self, name: str, scale: Json) -> None:
        known = self._known[name]
        known.version, known.replicas = version_of(scale), int(scale["spec"]["replicas"])
        known.ours = known.decided_on = known.replicas
        known.written_s.append(self._now_s())

    def check(self, name: str) -> None:
        """ClusterConflict where the number is not the one that was decided on, or somebody else writes it too and we
        have written much of late.
        """
        known, now_s = self._known[name], self._now_s()
        if known.decided_on not in {None, known.replicas}:
            raise _changed(name, known.replicas, known.decided_on)
        while known.written_s and now_s - known.written_s[0] >= 60.0:
            known.written_s.popleft()
        words = self.fought_over(name)
        if words and len(known.written_s) >= WRITES_PER_MINUTE:
            raise ClusterConflict(f"{words}; at most {WRITES_PER_MINUTE} writes a minute are made", reason=FOUGHT_OVER)


def _changed(name: str, found: int, base: int | None) -> ClusterConflict:
    return ClusterConflict(f"Deployment '{name}' shall have {found} replicas and not {base} any more", reason="Changed")
