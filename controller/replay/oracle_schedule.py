"""A schedule that is known beforehand, as an autoscaler: how the optimum is replayed through a simulation (O_replay).

What a replay costs more than the optimum is what the optimum leaves out: queueing, noise within slots, slow starts.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from controller.core.errors import SimulationError
from controller.replay.simulation_types import Seen, Wish


class ScheduleAutoscaler:
    """Has so many replicas ready in each slot, each ordered a cold start before it. After the end the last holds."""

    def __init__(
        self, replicas: Sequence[int], slot_s: float, cold_start_s: float, name: str = "oracle (replayed)"
    ) -> None:
        if not len(replicas):
            raise SimulationError("the schedule has no slots; it must have at least one")
        if not slot_s > 0:
            raise SimulationError(f"slot_s is {slot_s:g}; it must be a number > 0")
        self.name = name
        self.period_s = slot_s
        self._wishes = _highest_ahead([int(count) for count in replicas], math.ceil(cold_start_s / slot_s))

    def step(self, seen: Seen, now_s: float) -> Wish:
        """Whatever is seen, what the schedule says."""
        slot = min(int(now_s / self.period_s + 1e-6), len(self._wishes) - 1)
        return Wish(replicas=self._wishes[slot], reason="schedule")


def _highest_ahead(counts: Sequence[int], ahead: int) -> list[int]:
    """Of every slot the highest count from it to `ahead` slots on: who is to be on then is on order now."""
    highest: deque[int] = deque()  # slots with falling counts, the highest first
    found = [0] * len(counts)
    for slot in range(len(counts) - 1, -1, -1):
        while highest and counts[highest[-1]] <= counts[slot]:
            highest.pop()
        highest.append(slot)
        if highest[0] > slot + ahead:
            highest.popleft()
        found[slot] = counts[highest[0]]
    return found
