"""Keeps the objects of one kind in memory as the Kubernetes API has them: list, then watch, and never trust the watch.

A watch is asked for in windows of 40 s, which the API server ends by itself: one that has not ended after 50 s is
frozen or not from there, however quiet the cluster is: then all is listed, as the next watch may be no better. Every
five minutes at most all is listed anyway, so that an event that got lost is made good. A history that is no longer
kept (410) means one list; lists come no faster than one a second, and ever slower while they fail. Who answers, but
with an error, is spared for up to 30 s; where nobody answers, nobody is spared by waiting, so that 5 s after the API is
back every kind has been asked for again (it may refuse all for a moment, as its rights are not loaded yet).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from math import inf

import orjson
import structlog

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import Json, Kind
from controller.adapters.kubernetes_objects import ObjectStore, Slim, version_of, without_managed_fields
from controller.adapters.kubernetes_refusals import BROKEN, NO_ANSWER, TIMED_OUT, of_status
from controller.core.errors import ClusterError, ClusterGone, ClusterUnavailable

log = structlog.get_logger()

WINDOW_S = 40
LATE_S = 10.0
RESYNC_S = 270.0  # and up to a tenth more, so that many gateways do not ask at once
STALE_S = 60.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0  # while the API answers, but not with what was asked for
SILENT_PAUSE_S = 5.0  # while it does not answer
LIST_TIMEOUT_S = 30.0
PAGE = "500"
OLD_LISTS_MAX = 3  # in a row: then it is the history that went back
LINE_BYTES_MAX = 16 * 1024 * 1024


class KubernetesWatch:
    """The objects of one kind in one namespace, kept fresh by `run`."""

    def __init__(
        self,
        client: KubernetesClient,
        kind: Kind,
        *,
        slim: Slim = without_managed_fields,
        selector: str = "",
        window_s: float = WINDOW_S,
        late_s: float = LATE_S,
        resync_s: float = RESYNC_S,
        first_pause_s: float = FIRST_PAUSE_S,
        silent_pause_s: float = SILENT_PAUSE_S,
    ) -> None:
        self._client = client
        self.kind = kind
        self._path = kind.path(client.namespace)
        self._selector = {"labelSelector": selector} if selector else {}
        self._window_s, self._late_s, self._resync_s = window_s, late_s, resync_s
        self._first_pause_s = self._pause_s = first_pause_s
        self._silent_pause_s = silent_pause_s
        self._is_silent = False
        self._store = ObjectStore(slim)
        self._listeners: list[Callable[[], None]] = []
        self._synced = asyncio.Event()
        self._vouched_at_s: float | None = None
        self._list_due_s = -inf  # monotonic
        self._why = "start"
        self._old_lists = 0
        client.metrics.watch(kind.plural, self.age_s)

    @property
    def objects(self) -> Mapping[str, Json]:
        """By name, as last known; the mapping is never changed, only swapped."""
        return self._store.objects

    @property
    def is_synced(self) -> bool:
        """Whether all were listed once."""
        return self._synced.is_set()

    async def synced(self) -> None:
        """Afterwards all have been listed once."""
        await self._synced.wait()

    def age_s(self) -> float:
        """Since the API has last vouched for what is known: by a list, an event, or an end of a window; inf: never."""
        return inf if self._vouched_at_s is None else time.monotonic() - self._vouched_at_s

    def on_change(self, listener: Callable[[], None]) -> None:
        """Afterwards it is called, in the loop, after every change of `objects`."""
        self._listeners.append(listener)

    def learn(self, item: Json) -> None:
        """Take what a write of ours has answered, ahead of its event."""
        if self._store.learn(item):
            self._tell()

    async def wait_synced(self, timeout_s: float) -> bool:
        """Whether all have been listed once within this time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._synced.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Keeps `objects` fresh until cancelled."""
        while True:
            began_s = time.monotonic()
            try:
                if time.monotonic() >= self._list_due_s:
                    await self._list()
                await self._watch()
                self._pause_s = self._first_pause_s
            except ClusterGone:
                self._relist("gone")
                await self._rest()
            except ClusterError as error:
                self._weigh(is_silence=error.reason in NO_ANSWER)
                log.warning(
                    "kubernetes_watch_failed", kind=self.kind.plural, error=str(error), again_in_s=self._pause_s
                )
                if error.reason == TIMED_OUT:
                    self._relist("late")
                await self._rest()
            await asyncio.sleep(max(0.0, began_s + self._first_pause_s - time.monotonic()))

    def _weigh(self, *, is_silence: bool) -> None:
        """Pauses stay short while nobody answers, and begin anew with the first refusal of one that is back."""
        if is_silence:
            self._pause_s = min(self._pause_s, self._silent_pause_s)
        elif self._is_silent:
            self._pause_s = self._first_pause_s
        self._is_silent = is_silence

    async def _rest(self) -> None:
        await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 # spread, not secret
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2.0)

    def _relist(self, why: str) -> None:
        self._list_due_s, self._why = -inf, why

    async def _list(self) -> None:
        params = {"limit": PAGE, **self._selector}
        items: list[Json] = []
        while True:
            page = await self._client.get(self._path, params, timeout_s=LIST_TIMEOUT_S)
            items += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                break
            params = {**params, "continue": str(token)}
        self._client.metrics.listed(self.kind.plural, self._why)
        self._take(items, version_of(page))
        self._list_due_s = time.monotonic() + self._resync_s * random.uniform(1.0, 1.1)  # noqa: S311
        self._why = "resync"

    def _take(self, items: list[Json], version: str) -> None:
        before = self._store.objects
        if not self._store.replace(items, version):
            self._old_lists += 1
            if self._old_lists < OLD_LISTS_MAX:
                raise ClusterUnavailable(f"a list of {self.kind.plural} is older than what is known", reason="Stale")
            log.warning("kubernetes_history_went_back", kind=self.kind.plural)
            self._store.forget_versions()
            self._store.replace(items, version)
        self._old_lists = 0
        self._vouch()
        first = not self.is_synced
        self._synced.set()
        if first or self._store.objects != before:
            self._tell()

    async def _watch(self) -> None:
        window_s = max(1.0, min(self._window_s, self._list_due_s - time.monotonic()))
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._store.version,
            "timeoutSeconds": str(round(window_s)),
            **self._selector,
        }
        async with self._client.stream(self._path, params, limit_s=window_s + self._late_s) as pieces:
            async for line in _lines(pieces):
                self._hear(line)
        self._vouch()

    def _hear(self, line: bytes) -> None:
        try:
            event = orjson.loads(line)
            change, item = event["type"], event["object"]
            if change == "ERROR":
                raise of_status(int(item.get("code") or 500), str(item.get("reason") or ""), str(item.get("message")))
            changed = self._store.apply(change, item)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._relist("unreadable")
            raise ClusterUnavailable(f"an event of {self.kind.plural} cannot be read", reason=BROKEN) from error
        self._vouch()
        if changed:
            self._tell()

    def _vouch(self) -> None:
        self._vouched_at_s = time.monotonic()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def stale_words(watches: Iterable[KubernetesWatch]) -> str:
    """Of which kinds too little is known to act on; "" where none is."""
    ages = {one.kind.plural: one.age_s() for one in watches}
    words = [
        f"{kind} have not been listed yet" if age_s == inf else f"what is known of {kind} is {age_s:.0f} s old"
        for kind, age_s in ages.items()
        if age_s >= STALE_S
    ]
    return ", ".join(words)


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a stream; an unfinished last one is none."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
        if len(rest) > LINE_BYTES_MAX:
            raise ClusterUnavailable(f"an event of more than {LINE_BYTES_MAX} bytes", reason=BROKEN)
