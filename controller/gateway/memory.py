"""Gives memory back to the system once a crowd has left: the allocator by itself keeps most of what buffers took."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable

EVERY_S = 0.5
CROWD = 100  # requests in flight, below which there is nothing worth giving back
LEFT_RATIO = 0.1  # of a crowd, when it counts as gone


def _trimmer() -> Callable[[int], object]:
    """glibc's malloc_trim; nothing where there is no such thing."""
    return getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)


class MemoryReturn:
    """Looks from `start` to `stop`; tidies at most once per crowd, which takes some tens of milliseconds.

    Not at the first look at which the crowd is gone: its last ones may just be leaving, and their engines come first.
    """

    def __init__(self, in_flight: Callable[[], int]) -> None:
        self._in_flight = in_flight
        self._loop = asyncio.get_running_loop()
        self._trim = _trimmer()
        self._peak = 0
        self._gone = False  # so it was at the last look
        self._timer: asyncio.TimerHandle | None = None
        self.returned = 0  # how often

    def start(self) -> None:
        """The next look is under way."""
        self._timer = self._loop.call_later(EVERY_S, self._look)

    def _look(self) -> None:
        now = self._in_flight()
        was_gone, self._gone = self._gone, self._peak >= CROWD and now <= self._peak * LEFT_RATIO
        if was_gone and self._gone:
            self._peak, self._gone = now, False
            self.returned += 1
            gc.collect()
            self._trim(0)
        self._peak = max(self._peak, now)
        self.start()

    def stop(self) -> None:
        """Afterwards no timer is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
