"""How late the event loop comes to what is due: whatever blocks it delays every request, and shows here first.

A sample every tenth of a second, whatever the traffic: requests pay nothing for it.
"""

from __future__ import annotations

import asyncio

from controller.telemetry.gateway_metrics import Histogram

EVERY_S = 0.1


class LoopLag:
    """Samples from `start` to `stop`."""

    def __init__(self, lag: Histogram) -> None:
        self._lag = lag
        self._loop = asyncio.get_running_loop()
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The next sample is under way."""
        self._due_s = self._loop.time() + EVERY_S
        self._timer = self._loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        self._lag.observe(max(0.0, self._loop.time() - self._due_s))
        self.start()

    def stop(self) -> None:
        """Afterwards no timer is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
