"""Where demand is going: its slope, believed only where two halves of the last minutes agree.

Demand is averaged into steps of half a minute or more. The slope is that of least squares over each half of the last
`WINDOW_STARTS` cold starts; where both halves rise it is the lesser one, where both fall the gentler one, else there is
none. A step lies in one half alone, so it is not taken for a slope; a slope of noise seldom has the same sign twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

STEP_S = 30.0
WINDOW_STARTS = 2.0
HALF_STEPS_LEAST, HALF_STEPS_MOST = 2, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """`means`: demand by steps, oldest first. `sum` and `elapsed_s`: of the step that is not over."""

    means: tuple[float, ...] = ()
    sum: float = 0.0
    elapsed_s: float = 0.0
    slope_per_s: float = 0.0


def followed(trend: Trend, demand: float, elapsed_s: float, cold_start_s: float) -> Trend:
    """The trend once so long of this demand has passed."""
    total, passed_s = trend.sum + demand * elapsed_s, trend.elapsed_s + elapsed_s
    half_s = WINDOW_STARTS * cold_start_s / 2.0
    half = min(HALF_STEPS_MOST, max(HALF_STEPS_LEAST, round(half_s / STEP_S)))
    step_s = max(STEP_S, half_s / half)
    if passed_s < step_s:
        return replace(trend, sum=total, elapsed_s=passed_s)
    means = (*trend.means, total / passed_s)[-2 * half :]
    slope_per_s = _agreed(_slope(means[:half]), _slope(means[half:])) / passed_s if len(means) == 2 * half else 0.0
    return Trend(means=means, slope_per_s=slope_per_s)


def _slope(values: tuple[float, ...]) -> float:
    """Per step, by least squares."""
    middle = (len(values) - 1) / 2.0
    spread = sum((at - middle) ** 2 for at in range(len(values)))
    return sum((at - middle) * value for at, value in enumerate(values)) / spread


def _agreed(first: float, second: float) -> float:
    """The one nearer to nothing where both point the same way."""
    if first * second <= 0:
        return 0.0
    return min(first, second, key=abs)
