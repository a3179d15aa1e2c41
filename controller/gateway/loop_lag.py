"""How late the event loop comes to what is due: whatever blocks it delays every request, and shows here first.

A sample every tenth of a second, whatever the traffic: requests pay nothing for it. Of each lag is also told how much
the loop's own thread computed: the rest is waiting, for a disk or for a core that others have.
"""

from __future__ import annotations

import asyncio
import time

from controller.telemetry.gateway_metrics import Histogram

EVERY_S = 0.1


class LoopLag:
    """Samples from `start` to `stop`."""

    def __init__(self, lag: Histogram, computed: Histogram) -> None:
        self._lag = lag
        self._computed = computed
        self._cpu_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The next sample is under way."""
        self._cpu_s = time.thread_time()
        self._due_s = self._loop.time() + EVERY_S
        self._timer = self._loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        lag_s = max(0.0, self._loop.time() - self._due_s)
        self._lag.observe(lag_s)
        self._computed.observe(min(lag_s, time.thread_time() - self._cpu_s))
        self.start()

    def stop(self) -> None:
        """Afterwards no timer is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
