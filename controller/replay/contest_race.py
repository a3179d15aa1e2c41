"""Who is judged with every seed where that takes long: those who, tuned, can still win.

Called by `contest_bench` for recorded weeks, after every policy had the same search on the seed for tuning.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.replay.contest import merit
from controller.replay.contest_types import ATTAINMENT_LEAST, Dropped, Point, Tried

BEYOND_RATIO = 1.1  # of the cheapest that attains enough: who won after all would have gained so much by other days


def raced(best: Sequence[Tried], ours: str) -> tuple[tuple[Point, ...], tuple[Dropped, ...]]:
    """Who goes on, and who does not: each policy's best while tuning decides.

    Ours goes on, and the best other of each kind, so that there is somebody to be compared with; of the rest those
    who attain enough for at most `BEYOND_RATIO` times the cheapest who does.
    """
    enough = [one.score.usd_ratio for one in best if one.score.attained_ratio >= ATTAINMENT_LEAST]
    most_ratio = BEYOND_RATIO * min(enough, default=0.0)
    others = [one for one in best if one.point.policy != ours]
    kinds = {one.point.kind for one in others}
    first = {min((one for one in others if one.point.kind is kind), key=merit).point for kind in kinds}
    dropped = tuple(
        Dropped(point=one.point, score=one.score, reason=reason)
        for one in others
        if one.point not in first and (reason := _reason(one, most_ratio)) is not None
    )
    gone = {one.point for one in dropped}
    return tuple(one.point for one in best if one.point not in gone), dropped


def _reason(one: Tried, most_ratio: float) -> str | None:
    """Why it cannot win any more."""
    score = one.score
    if score.attained_ratio < ATTAINMENT_LEAST:
        return f"{100 * score.attained_ratio:.2f} % within the SLO"
    return f"cost {score.usd_ratio:.3f}, more than {most_ratio:.3f}" if score.usd_ratio > most_ratio else None
