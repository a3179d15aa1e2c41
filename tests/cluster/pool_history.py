"""What a ModelPool says of itself over a while, so that a test can tell what stayed and what went to and fro."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

from tests.cluster.installation import Installation

EACH_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Said:
    """The status at one moment. `conditions`: those that hold."""

    at_s: float  # monotonic
    mode: str
    spill_percent: int
    ready: int
    conditions: frozenset[str]


@dataclass(kw_only=True)
class History:
    """All that was said so far; grows from a thread of its own."""

    said: list[Said] = field(default_factory=list)

    def since(self, from_s: float, to_s: float | None = None) -> list[Said]:
        """Between two moments."""
        return [one for one in self.said if from_s <= one.at_s and (to_s is None or one.at_s < to_s)]

    @property
    def modes(self) -> list[str]:
        """One after the other, each named once until it changes."""
        return [mode for mode, _ in groupby(one.mode for one in self.said)]


def _now(here: Installation, name: str) -> Said:
    at_s, status = time.monotonic(), here.pool(name)
    routing = status.get("routing", {})
    holds = (one["type"] for one in status.get("conditions", []) if one["status"] == "True")
    return Said(
        at_s=at_s,
        mode=routing.get("mode", ""),
        spill_percent=routing.get("spillPercent", 0),
        ready=status.get("replicas", {}).get("ready", 0),
        conditions=frozenset(holds),
    )


@contextmanager
def watching(here: Installation, name: str) -> Iterator[History]:
    """The pool is asked twice a second until the block ends."""
    history, stop = History(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            history.said.append(_now(here, name))
            stop.wait(EACH_S)

    thread = threading.Thread(target=watch, name="history", daemon=True)
    thread.start()
    try:
        yield history
    finally:
        stop.set()
        thread.join(timeout=60)
        assert not thread.is_alive(), "the API does not answer"
