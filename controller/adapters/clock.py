"""The machine's clock: the only one that processes read."""

from __future__ import annotations

import time


class SystemClock:
    """Monotonic seconds for durations, unix seconds for records."""

    monotonic_s = staticmethod(time.monotonic)
    unix_s = staticmethod(time.time)
