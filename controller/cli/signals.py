"""Ctrl-C and SIGTERM as something a plain loop can wait for, without a thread and without a lost wake-up."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from collections.abc import Iterator
from types import FrameType

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts stop signals; `wait` returns as soon as one comes."""

    def __init__(self) -> None:
        self.count = 0
        self.first: int | None = None
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def on_signal(self, number: int, _frame: FrameType | None = None) -> None:
        """Note one signal; the wake-up byte is written by the interpreter."""
        self.count += 1
        self.first = self.first or number

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to `timeout_s`; True at once when a signal has come since the last wait."""
        readable, _, _ = select.select([self._reader], [], [], max(0.0, timeout_s))
        if readable:
            with contextlib.suppress(BlockingIOError):
                while self._reader.recv(64):
                    pass
        return bool(readable)

    @property
    def wakeup_fd(self) -> int:
        """Where the interpreter writes a byte per signal."""
        return self._writer.fileno()

    def close(self) -> None:
        """Afterwards both ends are closed."""
        self._reader.close()
        self._writer.close()


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Within: the watched signals are counted instead of killing; afterwards the old handlers are back."""
    signals = StopSignals()
    before = {number: signal.signal(number, signals.on_signal) for number in WATCHED}
    old_fd = signal.set_wakeup_fd(signals.wakeup_fd, warn_on_full_buffer=False)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(old_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        signals.close()
