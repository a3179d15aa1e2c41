"""What a controller keeps for its successor, as one ConfigMap. Satisfies `loop.ports.MemoryStore`.

`keep` hands the newest over; `run` writes it, one call at a time. Every write carries the epoch of the lease that it
was made under, and none is made over one of a later epoch.
"""

from __future__ import annotations

import asyncio
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable

import structlog

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import CONFIG_MAPS, Json
from controller.adapters.kubernetes_owner import Nobody, Owner, owned
from controller.core.errors import ClusterConflict, ClusterError, ClusterForbidden, ClusterNotFound

log = structlog.get_logger()

NAME = "spillway-controller-memory"
KEY = "memory.z"
EPOCH = "spillway.dev/lease-epoch"
BYTES_MAX = 700_000  # compressed; a ConfigMap holds a mebibyte, and base64 takes a third more
UNPACKED_MAX = 16 * 1024 * 1024
RETRY_S = 2.0


class KubernetesMemory:
    """The ConfigMap of one namespace, of that `owner`. Who cannot write it goes on without, and says so once."""

    def __init__(
        self, client: KubernetesClient, *, epoch: Callable[[], int], owner: Owner | None = None, name: str = NAME
    ) -> None:
        self._client = client
        self._epoch = epoch
        self._owner: Owner = owner or Nobody()
        self._may_own = True
        self._name = name
        self._there: Json = {}  # metadata as it is in the cluster
        self._found: bytes | None = None
        self._wanted: bytes | None = None
        self._news, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._is_kept = True

    async def load(self) -> None:
        """Afterwards `last` says what was kept; nothing where there is none to be read."""
        try:
            found = await self._client.get(self._path())
        except ClusterNotFound:
            return
        except ClusterError as error:
            log.warning("controller_memory_unreadable", error=str(error))
            return
        self._there = found["metadata"]
        data = (found.get("binaryData") or {}).get(KEY)
        self._found = _unpacked(data) if isinstance(data, str) else None

    def last(self) -> bytes | None:
        """What was kept last; None when there is none to be read."""
        return self._found

    def keep(self, data: bytes) -> None:
        """Afterwards it is written as soon as can be; `settled` waits for it."""
        self._wanted = data
        self._idle.clear()
        self._news.set()

    async def settled(self, timeout_s: float = 2.0) -> bool:
        """Whether what was kept last has been written, or cannot be, within this time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return self._is_kept

    async def run(self) -> None:
        """Writes what is to be kept, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.flush()

    async def flush(self) -> None:
        """Afterwards the newest is written, unless the log says why not."""
        while self._wanted is not None:
            data, self._wanted = self._wanted, None
            try:
                await self._write(data)
            except ClusterError as error:
                if self._is_kept:
                    log.warning("controller_memory_not_kept", error=str(error))
                self._is_kept = False
            else:
                self._is_kept = True
        self._idle.set()

    async def _write(self, data: bytes) -> None:
        packed = zlib.compress(data, 6)
        if len(packed) > BYTES_MAX:
            raise ClusterConflict(f"{len(packed)} bytes, at most {BYTES_MAX} are kept", reason="TooLarge")
        binary = {KEY: b64encode(packed).decode()}
        for _ in range(3):
            try:
                self._there = (await self._put(binary))["metadata"]
            except (ClusterConflict, ClusterNotFound):
                await self._look_who_wrote()
            else:
                return
        raise ClusterConflict("somebody else writes it, too", reason="Conflict")

    async def _put(self, binary: Json) -> Json:
        """The object as written; made ours where an older controller made it, if the cluster lets us."""
        there, reference = self._there, self._owner.reference()
        kept: Json = {"name": self._name, "annotations": {EPOCH: str(self._epoch())}}
        if not there:
            body = _object(owned(kept, reference), binary)
            return await self._client.create(CONFIG_MAPS.path(self._client.namespace), body)
        kept |= {name: there[name] for name in ("resourceVersion", "ownerReferences") if name in there}
        metadata = owned(kept, reference)
        if self._may_own and metadata is not kept:
            try:
                return await self._client.replace(self._path(), _object(metadata, binary))
            except ClusterForbidden as error:
                self._may_own = False
                log.warning("controller_memory_stays_without_owner", error=str(error))
        return await self._client.replace(self._path(), _object(kept, binary))

    async def _look_who_wrote(self) -> None:
        """Afterwards it is known what to write over; ClusterConflict where one of a later epoch has written."""
        try:
            found = await self._client.get(self._path())
        except ClusterNotFound:
            self._there = {}
            return
        said = str((found["metadata"].get("annotations") or {}).get(EPOCH) or "0")
        if said.isdecimal() and int(said) > self._epoch():
            raise ClusterConflict(f"a controller of epoch {said} has written it already", reason="Fenced")
        self._there = found["metadata"]

    def _path(self) -> str:
        return CONFIG_MAPS.path(self._client.namespace, self._name)


def _object(metadata: Json, binary: Json) -> Json:
    kind = {"apiVersion": CONFIG_MAPS.api_version, "kind": CONFIG_MAPS.name}
    return {**kind, "metadata": metadata, "binaryData": binary}


def _unpacked(data: str) -> bytes | None:
    """The bytes; None where they are damaged or too many to be ours."""
    try:
        unpacker = zlib.decompressobj()
        found = unpacker.decompress(b64decode(data, validate=True), UNPACKED_MAX)
    except (ValueError, zlib.error) as error:
        log.warning("controller_memory_unreadable", error=str(error))
        return None
    return found if unpacker.eof else None
