"""Whether two sets of times differ: Mann and Whitney's rank test with the normal approximation, ties corrected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby


def z_score(first: Sequence[float], second: Sequence[float]) -> float:
    """How many standard deviations the ranks of `first` lie above those of `second`; 0 when nothing differs."""
    both = sorted([(value, True) for value in first] + [(value, False) for value in second])
    rank_sum, at, ties = 0.0, 0, 0.0
    for _, group in groupby(both, key=lambda pair: pair[0]):
        members = [is_first for _, is_first in group]
        size = len(members)
        rank_sum += sum(members) * (at + (size + 1) / 2)
        ties += size**3 - size
        at += size
    m, n = len(first), len(second)
    u = rank_sum - m * (m + 1) / 2
    variance = m * n / 12 * ((m + n + 1) - ties / ((m + n) * (m + n - 1)))
    return 0.0 if variance <= 0 else (u - m * n / 2) / math.sqrt(variance)


def p_value(z: float) -> float:
    """How likely a score so far from 0 is when nothing differs, on either side."""
    return math.erfc(abs(z) / math.sqrt(2.0))
