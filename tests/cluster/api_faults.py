"""What the proxy before the API does wrong when told to: to chosen calls, and to the events of watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.cluster.api_asked import Asked

Change = tuple[str, dict[str, object]]  # type of the event, and its object


@dataclass(kw_only=True)
class CallFault:
    """Befalls calls that match: an answer of ours, or a connection cut before the API hears or after it has done it."""

    verb: str = ""  # "": any
    resource: str = ""
    name: str = ""
    status: int | None = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: str = ""  # "before" or "after" the API has heard it
    picks: Callable[[Asked], bool] | None = None  # which of the calls that match; None: all
    then: Callable[[], None] | None = None  # happens before the connection is cut, in the proxy's thread
    skips: int = 0  # so many are let through first
    times: int | None = None  # None: always
    hits: int = 0

    def befalls(self, asked: Asked) -> bool:
        """Whether it befalls this call; it is counted then."""
        wanted = ((self.verb, asked.verb), (self.resource, asked.resource), (self.name, asked.name))
        if any(want not in ("", found) for want, found in wanted):
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        if self.picks is not None and not self.picks(asked):
            return False
        if self.skips > 0:
            self.skips -= 1
            return False
        self.hits += 1
        return True

    def lift(self) -> None:
        """It befalls no call any more."""
        self.times = 0


def status_body(status: int, reason: str, message: str) -> bytes:
    """An error as the API words it."""
    return json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": status,
        }
    ).encode()


@dataclass(kw_only=True)
class WatchFaults:
    """What befalls the events of one resource's watches."""

    delay_s: float = 0.0
    drops: Callable[[Change], bool] | None = None
    repeats: bool = False  # each event comes twice, and then the one before it once more
    swaps: bool = False  # two events that come close to each other change places
    no_bookmarks: bool = False
    dropped: int = 0

    def lets_through(self, line: bytes) -> bool:
        """Whether this event goes on at all."""
        change = json.loads(line)
        kind = change["type"]
        if kind == "BOOKMARK":
            return not self.no_bookmarks
        if self.drops is not None and kind != "ERROR" and self.drops((kind, change["object"])):
            self.dropped += 1
            return False
        return True


def deleted(name: str = "") -> Callable[[Change], bool]:
    """Picks events that say that an object (of this name) is gone."""

    def picks(change: Change) -> bool:
        metadata = change[1].get("metadata")
        return change[0] == "DELETED" and isinstance(metadata, dict) and name in ("", metadata.get("name"))

    return picks


@dataclass
class Faults:
    """All that one proxy does wrong now. Changed by the test's thread, read by the proxy's."""

    calls: list[CallFault] = field(default_factory=list)
    watches: dict[str, WatchFaults] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    silent: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def for_call(self, asked: Asked) -> CallFault | None:
        """What befalls this call."""
        return next((one for one in list(self.calls) if one.befalls(asked)), None)

    def tell(self) -> None:
        """In the proxy's loop: those who wait look again."""
        self._news.set()
        self._news = asyncio.Event()

    async def unless_silent(self) -> None:
        """Returns when calls are answered."""
        while self.silent:
            await self._news.wait()

    async def unless_frozen(self, resource: str) -> None:
        """Returns when watches of this resource go on."""
        while self.silent or resource in self.frozen:
            await self._news.wait()
