"""One process that `spillway up` starts, watches, restarts with back-off and stops."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.cli.leftovers import identity

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 15.0
STEADY_AFTER_S = 30.0  # a process that ran this long starts again with the shortest back-off


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to start. `stop_deadline_s`: how long SIGTERM may take before SIGKILL."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log_file: Path
    stop_deadline_s: float


class Child:
    """A running process; in a session of its own, so that Ctrl-C in the terminal reaches only `up`."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.restarts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._backoff_s = FIRST_BACKOFF_S
        self._retry_at_s: float | None = None

    @property
    def name(self) -> str:
        """The process by its job."""
        return self.spec.name

    def start(self) -> None:
        """Afterwards the process runs and writes to its log file."""
        self.spec.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.spec.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.spec.command,
                env=dict(self.spec.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started_s = time.monotonic()

    def record(self) -> dict[str, float] | None:
        """What names the running process."""
        return identity(self._process.pid) if self._process is not None and self.exit_code() is None else None

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process is not None else None

    def keep_alive(self, now_s: float) -> str | None:
        """Restart it when it has died and its back-off is over; says in words what was done."""
        code = self.exit_code()
        if code is None:
            return None
        if self._retry_at_s is None:
            if now_s - self._started_s >= STEADY_AFTER_S:
                self._backoff_s = FIRST_BACKOFF_S
            self._retry_at_s = now_s + self._backoff_s
            said = f"{self.name} ended with {ending(code)}; starting it again in {self._backoff_s:.3g} s"
            self._backoff_s = min(LONGEST_BACKOFF_S, self._backoff_s * 2)
            return f"{said} (log: {self.spec.log_file})"
        if now_s < self._retry_at_s:
            return None
        self._retry_at_s = None
        self.restarts += 1
        self.start()
        return f"{self.name} started again"

    def terminate(self) -> None:
        """Ask it to stop; it may drain first."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Afterwards it is gone, at once."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2.0)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def last_words(self) -> str:
        """The last line of its log: the reason, when it could not start."""
        try:
            lines = self.spec.log_file.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1][:400] if lines else ""


def ending(code: int) -> str:
    """An exit status in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
