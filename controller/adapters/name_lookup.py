"""Names to addresses by the system's resolver, and what was known of a name when the name server says nothing.

Each name is looked up on a thread of its own, one at a time: the loop's threads are few and shared, and a name server
that never answers holds a thread for ten seconds and more. Threads are bounded by the names in the configuration.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

FRESH_S = 10.0  # an answer is used as it is for so long
LOOKUP_S = 5.0  # for a name of which nothing is known
KNOWN_LOOKUP_S = 0.3  # for one with an older answer, which then stands in
STALE_S = 3600.0  # and for how long it may
Found = tuple[tuple[socket.AddressFamily, int, str], ...]
"""Family, protocol and address of each way to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The last answer, and the addresses of the one before it."""

    at_s: float
    found: Found
    addresses: frozenset[str]
    before: frozenset[str]


def system_lookup(host: str) -> Found:
    """What the system's resolver says, however long that takes; OSError when it has nothing to say."""
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple((family, protocol, str(address[0])) for family, _, protocol, _, address in answers)


class NameLookup:
    """Used by one event loop. `look` runs on threads."""

    def __init__(
        self, *, look: Callable[[str], Found] = system_lookup, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._asked_s: dict[str, float] = {}
        self._pending: dict[str, asyncio.Future[Found | Exception]] = {}

    async def find(self, host: str) -> Found:
        """Its addresses; OSError when there are none, or when the name server is silent and none were known."""
        known, now_s = self._known.get(host), self._clock()
        if known is not None and now_s - known.at_s > STALE_S:
            known = None
        asked_for_s = now_s - self._asked_s.get(host, now_s)
        if known is not None and (now_s - known.at_s < FRESH_S or KNOWN_LOOKUP_S <= asked_for_s < FRESH_S):
            return known.found
        pending = self._ask(host, now_s)
        done, _ = await asyncio.wait({pending}, timeout=LOOKUP_S if known is None else KNOWN_LOOKUP_S)
        if not done:
            if known is None:
                raise TimeoutError(f"the name server has not answered for {host} within {LOOKUP_S:g} s")
            return known.found
        result = pending.result()
        if isinstance(result, tuple):
            return result
        if known is not None and isinstance(result, socket.gaierror) and result.errno == socket.EAI_AGAIN:
            return known.found
        raise result

    def still_leads(self, host: str, address: str) -> bool:
        """Whether one of the last two answers has the address; names never looked up lead anywhere.

        Two, as some name servers give a part of their addresses each time. Asks again, without waiting, when the last
        answer is old: connections that are kept busy would never hear that the name has moved.
        """
        known = self._known.get(host)
        if known is None:
            return True
        now_s = self._clock()
        if now_s - known.at_s >= FRESH_S and now_s - self._asked_s[host] >= FRESH_S:
            self._ask(host, now_s)
        return address in known.addresses or address in known.before

    def _ask(self, host: str, now_s: float) -> asyncio.Future[Found | Exception]:
        if now_s - self._asked_s.get(host, -inf) >= FRESH_S:
            self._asked_s[host] = now_s
        pending = self._pending.get(host)
        if pending is None:
            loop = asyncio.get_running_loop()
            pending = self._pending[host] = loop.create_future()
            threading.Thread(target=self._run, args=(loop, host), name=f"name {host}", daemon=True).start()
        return pending

    def _run(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        found: Found | Exception
        try:
            found = self._look(host)
        except (OSError, UnicodeError) as error:
            found = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._arrived, host, found)

    def _arrived(self, host: str, found: Found | Exception) -> None:
        if isinstance(found, tuple):
            known = self._known.get(host)
            self._known[host] = _Known(
                at_s=self._clock(),
                found=found,
                addresses=frozenset(address for _, _, address in found),
                before=frozenset() if known is None else known.addresses,
            )
        pending = self._pending.pop(host)
        if not pending.done():
            pending.set_result(found)
