"""Events about ModelPools (`events.k8s.io/v1`): what `kubectl describe` and `kubectl events` show.

One for each change; what is told again in the same words within six minutes is counted on the Event that there is (the
API lets nobody change the words of one). Nobody waits for them: they go out one after the other, no more than so many
are waiting, and one that is refused is dropped.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import EVENTS, MODEL_POOLS, Json
from controller.core.errors import ClusterError

log = structlog.get_logger()

CONTROLLER = "spillway.dev/controller"
SERIES_S = 360.0  # the API keeps an Event for an hour, and clients join what comes within six minutes
WAITING_MAX = 500
KNOWN_MAX = 1000
NOTE_CHARS, INSTANCE_CHARS, NAME_CHARS = 1024, 128, 63
PAUSE_S = 0.1  # at most ten a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing to tell about one object. `kind`: Normal or Warning."""

    about: Json
    kind: str
    reason: str
    action: str
    note: str


@dataclass(slots=True)
class _Told:
    name: str
    count: int
    at_s: float


class KubernetesEvents:
    """Tells them in the name of one controller."""

    def __init__(self, client: KubernetesClient, *, instance: str) -> None:
        self._client = client
        self._instance = instance[:INSTANCE_CHARS]
        self._waiting: deque[Happening] = deque(maxlen=WAITING_MAX)
        self._news = asyncio.Event()
        self._told: dict[tuple[str, ...], _Told] = {}

    def tell(self, happening: Happening) -> None:
        """Afterwards it goes out as soon as can be."""
        self._waiting.append(happening)
        self._news.set()

    async def run(self) -> None:
        """Sends them until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.flush(PAUSE_S)

    async def flush(self, pause_s: float = 0.0) -> None:
        """Afterwards none waits."""
        while self._waiting:
            await self._send(self._waiting.popleft())
            await asyncio.sleep(pause_s)

    async def _send(self, one: Happening) -> None:
        metadata, now_s = one.about["metadata"], time.monotonic()
        key = (str(metadata.get("uid")), one.kind, one.reason, one.action, one.note)
        told = self._told.get(key)
        try:
            if told is not None and now_s - told.at_s < SERIES_S:
                told.count, told.at_s = told.count + 1, now_s
                series = {"count": told.count, "lastObservedTime": _now()}
                path = EVENTS.path(self._client.namespace, told.name)
                await self._client.patch(path, {"series": series})
            else:
                name = f"{str(metadata['name'])[:NAME_CHARS]}.{secrets.token_hex(8)}"
                await self._client.create(EVENTS.path(self._client.namespace), self._event(name, one))
                self._remember(key, _Told(name=name, count=1, at_s=now_s))
        except ClusterError as error:
            self._told.pop(key, None)
            log.warning("event_not_told", reason=one.reason, about=metadata["name"], error=str(error))

    def _remember(self, key: tuple[str, ...], told: _Told) -> None:
        self._told.pop(key, None)
        self._told[key] = told
        while len(self._told) > KNOWN_MAX:
            self._told.pop(next(iter(self._told)))

    def _event(self, name: str, one: Happening) -> Json:
        metadata = one.about["metadata"]
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.name,
            "metadata": {"name": name, "namespace": self._client.namespace},
            "eventTime": _now(),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "type": one.kind,
            "reason": one.reason,
            "action": one.action,
            "note": one.note[:NOTE_CHARS],
            "regarding": {
                "apiVersion": MODEL_POOLS.api_version,
                "kind": MODEL_POOLS.name,
                "namespace": self._client.namespace,
                "name": metadata["name"],
                "uid": metadata.get("uid"),
                "resourceVersion": metadata.get("resourceVersion"),
            },
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
