"""What the gateway of a fluid run sends to providers by itself, when the policy does not say: three kinds, one shape.

Told the arrivals of a slot, the work that waits and what the replicas can do in it, each says how many it would spill.
"""

from __future__ import annotations

from typing import Protocol

from controller.core.errors import SimulationError

NAIVE_ENTER_S = 5.0  # all replicas have waiting requests for so long: the fallback route opens
NAIVE_HOLD_S = 60.0  # and stays open for so long
VALVE_WAIT_RATIO = 0.9  # of the TTFT that is allowed: a request that would have a longer one goes out


class SpillGateway(Protocol):
    """Decides how many requests of a slot leave."""

    def wanted(self, arrivals: float, backlog: float, capacity: float) -> float:
        """Of the slot's arrivals, those it would send out; `capacity` is what the ready replicas do in one slot."""
        ...

    def refused(self, home: float, backlog: float, capacity: float) -> float:
        """Of those that stay, as providers take no more, who is told at once to come back later."""
        ...

    def settle(self, waiting: float) -> None:
        """Hears what waits at the engines at the end of the slot."""
        ...


class NoSpill:
    """Everything stays at home."""

    def wanted(self, arrivals: float, backlog: float, capacity: float) -> float:
        """None."""
        return 0.0

    def refused(self, home: float, backlog: float, capacity: float) -> float:
        """None: all wait."""
        return 0.0

    def settle(self, waiting: float) -> None:
        """Nothing to remember."""


class Valve:
    """Per request: what would wait longer than it may is spilled, nothing else.

    Where it can go nowhere the line is kept short, as the gateway does under overload (`routing/waiting_line.py`): who
    is let in is in time. A pool without a ready replica lets requests wait for one.
    """

    def __init__(self, slot_s: float, ttft_slo_s: float, ttft_idle_s: float) -> None:
        self._queue_slots = max(0.0, VALVE_WAIT_RATIO * ttft_slo_s - ttft_idle_s) / slot_s

    def wanted(self, arrivals: float, backlog: float, capacity: float) -> float:
        """What neither this slot nor the short queue behind it can take."""
        over = backlog + arrivals - capacity * (1 + self._queue_slots)
        return 0.0 if over <= 0 else min(over, arrivals)

    def refused(self, home: float, backlog: float, capacity: float) -> float:
        """The same, of those that stayed."""
        return self.wanted(home, backlog, capacity) if capacity else 0.0

    def settle(self, waiting: float) -> None:
        """Nothing to remember."""


class NaiveSpill:
    """A fallback route as commonly built: all traffic leaves once every replica has waiting requests, for a minute."""

    def __init__(self, slot_s: float) -> None:
        self._slot_s = slot_s
        self._waiting_s = 0.0
        self._open_s = 0.0

    def wanted(self, arrivals: float, backlog: float, capacity: float) -> float:
        """All or nothing."""
        return arrivals if self._open_s > 0 else 0.0

    def refused(self, home: float, backlog: float, capacity: float) -> float:
        """None: all wait."""
        return 0.0

    def settle(self, waiting: float) -> None:
        """Opens after five seconds of waiting, closes a minute later."""
        self._open_s = max(0.0, self._open_s - self._slot_s)
        self._waiting_s = self._waiting_s + self._slot_s if waiting > 0 else 0.0
        if self._waiting_s >= NAIVE_ENTER_S and self._open_s == 0:
            self._open_s = NAIVE_HOLD_S
            self._waiting_s = 0.0


def spill_gateway(kind: str, slot_s: float, ttft_slo_s: float, ttft_idle_s: float) -> SpillGateway:
    """The gateway of that name: valve, naive or none."""
    if kind == "valve":
        return Valve(slot_s, ttft_slo_s, ttft_idle_s)
    if kind == "naive":
        return NaiveSpill(slot_s)
    if kind == "none":
        return NoSpill()
    raise SimulationError(f"gateway is {kind!r}; it must be valve, mode, naive or none")
