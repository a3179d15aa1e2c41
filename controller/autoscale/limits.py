"""How often a pool may change its size: a guard against anything that makes it grow and shrink without end.

Called by the control loop with what a pool would have after all else. Steps in one direction within a minute are one
action. Shrinking may use half of what an hour allows, so that growing is never held up by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

HOUR_S = 3600.0
ONE_ACTION_S = 60.0
SHRINK_RATIO = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """Carried from tick to tick. `taken`: when actions of the last hour began, and whether they grew the pool.

    `replicas`: what was allowed last; None before the first tick.
    """

    replicas: int | None = None
    taken: tuple[tuple[float, bool], ...] = ()


def limited(actions: Actions, wish: int, per_hour: int, now_s: float) -> tuple[int, Actions, str]:
    """What is allowed of the wish, and why it is not all of it; "" where it is."""
    before = actions.replicas
    taken = tuple(one for one in actions.taken if now_s - one[0] < HOUR_S)
    if before is None or wish == before:
        return wish, Actions(replicas=wish, taken=taken), ""
    grows = wish > before
    goes_on = bool(taken) and taken[-1][1] is grows and now_s - taken[-1][0] < ONE_ACTION_S
    most = per_hour if grows else ceil(SHRINK_RATIO * per_hour)
    if len(taken) >= most and not goes_on:
        words = f"{len(taken)} changes in an hour, at most {most} may be before it {'grows' if grows else 'shrinks'}"
        return before, replace(actions, taken=taken), words
    return wish, Actions(replicas=wish, taken=taken if goes_on else (*taken, (now_s, grows))), ""
