"""Places where a test makes a process die, fail or wait: SPILLWAY_FAILPOINT=name:action[,name@3:action...].

Actions: `kill` (SIGKILL to this process), `raise` (OSError), `sleep:S` (so many seconds). `name` acts at every pass,
`name@N` at the Nth alone. Callers write `if __debug__: failpoints.hit("...")`, and import this module under the same
condition: under `python -O` no instruction of either is left.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

VARIABLE = "SPILLWAY_FAILPOINT"


def _kill(_: float) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # the signal is on its way


def _raise(_: float) -> None:
    raise OSError("failpoint")


_ACTIONS: dict[str, Callable[[float], None]] = {"kill": _kill, "raise": _raise, "sleep": time.sleep}


@dataclass(slots=True)
class _Armed:
    act: Callable[[float], None]
    value: float
    only: int | None
    passes: int = 0


def parse(text: str) -> dict[str, _Armed]:
    """What the variable arms; ValueError names what is wrong with it."""
    armed = {}
    for part in filter(None, text.split(",")):
        place, _, action = part.partition(":")
        name, _, only = place.partition("@")
        verb, _, value = action.partition(":")
        try:
            armed[name] = _Armed(_ACTIONS[verb], float(value or 0), int(only) if only else None)
        except (KeyError, ValueError):
            allowed = "name[@N]:kill, name[@N]:raise or name[@N]:sleep:SECONDS"
            raise ValueError(f"{VARIABLE}: '{part}' must be {allowed}") from None
    return armed


_armed = parse(os.environ.get(VARIABLE, ""))


def arm(text: str) -> None:
    """From now on these are armed and no others, in this process."""
    _armed.clear()
    _armed.update(parse(text))


def hit(name: str) -> None:
    """Does what is armed for this place; nothing, as a rule."""
    if not _armed:
        return
    armed = _armed.get(name)
    if armed is not None:
        armed.passes += 1
        if armed.only is None or armed.passes == armed.only:
            armed.act(armed.value)
