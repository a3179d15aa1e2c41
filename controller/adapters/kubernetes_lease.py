"""Who of several controllers runs the fleet: the holder of a Lease, which it renews and gives up when it stops.

Nobody's clock is compared with anybody else's: a standby takes over once it has not seen the Lease change for as long
as its holder said it would, and a holder stops writing well before that, by a clock that also counts while the
machine or the process stood still. So one that was paused and wakes up writes nothing: `check` is asked before every
write.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import LEASES, Json
from controller.adapters.kubernetes_owner import Nobody, Owner, owned
from controller.core.errors import ClusterConflict, ClusterError, ClusterForbidden, ClusterNotFound, ForbiddenCause

log = structlog.get_logger()

NAME = "spillway-controller"
DURATION_S = 13.0  # after which others may take it
HOLD_S = 10.0  # after which its holder writes no more
RENEW_EVERY_S = 3.0
RETRY_S = 0.5
LOOK_EVERY_S = 2.0  # of those that wait
OWNER_WITHIN_S = 5.0  # for whose a Lease is that has to be made
HANDS_MAX = 1_000_000  # of one Lease: a hundred years of a change every hour


class LeaseLost(ClusterForbidden):
    """This controller does not run the fleet any more, and may write nothing."""


def awake_s() -> float:
    """Seconds that also pass while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class KubernetesLease:
    """One controller's part in it. `client` is used for nothing else, so that renewals wait for nobody.

    `owner`: whose the Lease is.
    """

    def __init__(
        self,
        client: KubernetesClient,
        *,
        identity: str,
        owner: Owner | None = None,
        name: str = NAME,
        duration_s: float = DURATION_S,
        clock_s: Callable[[], float] = awake_s,
        pace: float = 1.0,
    ) -> None:
        self._client = client
        self._name = name
        self._owner: Owner = owner or Nobody()
        self._may_own = True
        self.identity = f"{identity}-{secrets.token_hex(3)}"
        self._duration_s = duration_s
        self._clock_s = clock_s
        self._pace = pace
        self._lease: Json | None = None
        self._changed_at_s = 0.0
        self._renewed_at_s: float | None = None

    @property
    def epoch(self) -> int:
        """Of two writers the one with the higher is the younger: when the Lease was made, then whose hand it is in."""
        if self._lease is None:
            return 0
        made_s = _seconds(self._lease["metadata"].get("creationTimestamp"))
        return made_s * HANDS_MAX + self._transitions

    @property
    def _transitions(self) -> int:
        """How often it had changed hands when it was looked at."""
        return int(self._lease_spec().get("leaseTransitions") or 0)

    @property
    def holder(self) -> str:
        """Who holds it, as far as is known here."""
        return "" if self._lease is None else str(self._lease["spec"].get("holderIdentity") or "")

    def holds(self) -> bool:
        """Whether this controller may write."""
        limit_s = self._duration_s * HOLD_S / DURATION_S
        return self._renewed_at_s is not None and self._clock_s() - self._renewed_at_s < limit_s

    def check(self) -> None:
        """LeaseLost where this controller may not write."""
        if not self.holds():
            raise LeaseLost("this controller does not hold the lease", reason="LeaseLost", cause=ForbiddenCause.RIGHTS)

    async def acquire(self) -> None:
        """Afterwards this controller holds it."""
        owner_due_s = self._clock_s() + OWNER_WITHIN_S
        while True:
            try:
                if await self._try(owner_due_s):
                    log.info("lease_acquired", lease=self._name, identity=self.identity, epoch=self.epoch)
                    return
            except ClusterError as error:
                log.warning("lease_not_to_be_had", lease=self._name, error=str(error))
            await asyncio.sleep(min(LOOK_EVERY_S, max(RETRY_S, self._left_s())) * self._pace)

    async def keep(self) -> None:
        """Renews it until it is lost: then LeaseLost."""
        while True:
            await asyncio.sleep(RENEW_EVERY_S * self._pace)
            await self._renew()

    async def release(self) -> None:
        """Afterwards the next one need not wait; whoever cannot say so lets it run out."""
        if not self.holds() or self._lease is None:
            return
        self._renewed_at_s = None
        try:
            await self._look()  # a renewal that was cut off may have been written
            if self.holder == self.identity:
                spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                await self._client.replace(self._path(), {**self._lease, "spec": spec})
        except ClusterError as error:
            log.warning("lease_not_released", lease=self._name, error=str(error))

    async def _renew(self) -> None:
        while True:
            began_s = self._clock_s()
            self.check()
            try:
                if await self._renewed():
                    self._renewed_at_s = began_s
                    return
            except LeaseLost:
                self._renewed_at_s = None
                raise
            except ClusterError as error:
                log.warning("lease_not_renewed", lease=self._name, error=str(error))
            await asyncio.sleep(RETRY_S * self._pace)

    async def _renewed(self) -> bool:
        """Whether it was written; LeaseLost where somebody else has."""
        try:
            await self._write(
                transitions=self._transitions, acquired=str(self._lease_spec().get("acquireTime") or _now())
            )
        except ClusterConflict:
            await self._look()
            if self.holder != self.identity:
                words = f"the lease is held by '{self.holder}' now"
                raise LeaseLost(words, reason="LeaseLost", cause=ForbiddenCause.RIGHTS) from None
            return False
        return True

    async def _try(self, owner_due_s: float) -> bool:
        """Whether it is ours now."""
        began_s = self._clock_s()
        try:
            await self._look()
        except ClusterNotFound:
            self._lease = None
            if not self._owner.is_known() and began_s < owner_due_s:
                return False
        if self._lease is not None and self.holder and self.holder != self.identity and not self._has_run_out():
            return False
        try:
            await self._write(transitions=0 if self._lease is None else self._transitions + 1, acquired=_now())
        except ClusterConflict:
            return False  # another one was faster
        self._renewed_at_s = began_s
        return True

    def _has_run_out(self) -> bool:
        return self._left_s() <= 0.0

    def _left_s(self) -> float:
        """How long it holds for its holder if it is not renewed."""
        said_s = float(self._lease_spec().get("leaseDurationSeconds") or self._duration_s)
        return max(0.0, self._changed_at_s + said_s - self._clock_s())

    async def _look(self) -> None:
        found = await self._client.get(self._path())
        if self._lease is None or found["spec"] != self._lease["spec"]:
            self._changed_at_s = self._clock_s()
        self._lease = found

    async def _write(self, *, transitions: int, acquired: str) -> None:
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._duration_s)),
            "acquireTime": acquired,
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }
        if self._lease is None:
            metadata = owned({"name": self._name}, self._owner.reference())
            body = {"apiVersion": LEASES.api_version, "kind": LEASES.name, "metadata": metadata, "spec": spec}
            self._lease = await self._client.create(LEASES.path(self._client.namespace), body)
        else:
            self._lease = await self._replace({**self._lease, "spec": spec})

    async def _replace(self, body: Json) -> Json:
        """Also made ours where an older controller made it, unless the cluster lets only those do so who may delete."""
        metadata = owned(body["metadata"], self._owner.reference())
        if self._may_own and metadata is not body["metadata"]:
            try:
                return await self._client.replace(self._path(), {**body, "metadata": metadata})
            except ClusterForbidden as error:
                self._may_own = False
                log.warning("lease_stays_without_owner", lease=self._name, error=str(error))
        return await self._client.replace(self._path(), body)

    def _lease_spec(self) -> Json:
        spec: Json = {} if self._lease is None else self._lease["spec"]
        return spec

    def _path(self) -> str:
        return LEASES.path(self._client.namespace, self._name)


def _seconds(stamp: object) -> int:
    """Since 1970, of an instant as the API writes it; 0 where there is none."""
    return 0 if not isinstance(stamp, str) else int(datetime.fromisoformat(stamp).timestamp())


def _now() -> str:
    """For people who look at the Lease; no decision hangs on it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
