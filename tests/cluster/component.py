"""One process of the cluster: started, killed, frozen and started again by tests, and never found by its name.

Every process carries the folder of its cluster in its environment, so that whoever cleans up after a crash finds
exactly the processes of that cluster (`leftovers.py`), whatever their numbers.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.cluster.errors import DidNotEnd, DidNotStart
from tests.cluster.programs import SEARCHED

MEMBER_VARIABLE = "SPILLWAY_CLUSTER_FOLDER"
STOP_S = 10.0
FORK_S = 5.0
TAIL_LINES = 15


@dataclass(kw_only=True)
class Component:
    """A program of the cluster. `entered`: the words that start it inside the cluster's namespaces, if it has any."""

    name: str
    command: Sequence[str]
    folder: Path
    entered: Sequence[str] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """What it has said, over all its lives."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """It runs, in a session of its own: an interrupt from the keyboard is not for it."""
        assert not self.is_running(), f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.entered, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                # Nothing else of ours: neither keys nor a proxy, which would be asked for addresses of the cluster.
                env={"PATH": SEARCHED, "HOME": str(self.folder), MEMBER_VARIABLE: str(self.folder)},
                start_new_session=True,
            )

    def is_running(self) -> bool:
        """Whether the program is there; a frozen one is."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """It is gone at once, without a word, frozen or not."""
        self._signal(signal.SIGKILL)
        self._wait()

    def freeze(self) -> None:
        """It stands still: sockets stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it stood."""
        self._signal(signal.SIGCONT)
        self._wake()

    def stop(self) -> None:
        """It has ended, by itself if it does so in time."""
        if not self.is_running():
            return
        self.thaw()
        self._signal(signal.SIGTERM)
        try:
            self._wait()
        except DidNotEnd:
            self.kill()

    def restart(self) -> None:
        """It has ended and runs again, with the same words."""
        self.stop()
        self.start()

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-TAIL_LINES:])

    def _wait(self) -> None:
        """It has ended; DidNotEnd after the deadline."""
        deadline_s = time.monotonic() + STOP_S
        while self.is_running():
            if time.monotonic() > deadline_s:
                raise DidNotEnd(f"{self.name} has not ended within {STOP_S:.0f} s; its log ends:\n{self.tail()}")
            self._wake()
            time.sleep(0.02)

    def _wake(self) -> None:
        """The process that entered the namespaces stops when its child does, and would not see it end."""
        if self.entered and self._process is not None and self.is_running():
            self._process.send_signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        process = self.program()
        if process is not None:
            process.send_signal(number)

    def program(self) -> psutil.Process | None:
        """The program itself; inside namespaces it is the one child of the process that entered them."""
        if self._process is None or self._process.poll() is not None:
            return None
        outer = psutil.Process(self._process.pid)
        if not self.entered:
            return outer
        deadline_s = time.monotonic() + FORK_S
        while time.monotonic() < deadline_s:
            inner: list[psutil.Process] = outer.children()
            if inner:
                return inner[0]
            time.sleep(0.01)
        return None


def until(check: Callable[[], bool], *, within_s: float, what: str, needs: Iterable[Component] = ()) -> None:
    """Comes back once `check()` is true; a needed component that has ended makes that an error at once."""
    needed = list(needs)
    deadline_s = time.monotonic() + within_s
    while not check():
        for component in needed:
            if not component.is_running():
                raise DidNotStart(f"{component.name} ended before {what}; its log ends:\n{component.tail()}")
        if time.monotonic() > deadline_s:
            logs = "\n".join(f"log of {component.name} ends:\n{component.tail()}" for component in needed)
            raise DidNotStart(f"not so within {within_s:.0f} s: {what}\n{logs}")
        time.sleep(0.05)
