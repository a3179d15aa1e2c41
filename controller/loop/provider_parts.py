"""How much of what a provider takes each pool that spills to it may count on, so that nobody counts it twice. Pure.

A quarter is split evenly, so that a pool that has spilled nothing may begin; the rest by what each has spilled lately.
"""

from __future__ import annotations

from collections.abc import Mapping

EVEN_RATIO = 0.25


def parts(whole: float, spilled_per_s: Mapping[str, float]) -> dict[str, float]:
    """The part of each pool by what it spills: together the whole; an unlimited whole is all of theirs."""
    total_per_s, count = sum(spilled_per_s.values()), len(spilled_per_s)
    if not total_per_s:
        return dict.fromkeys(spilled_per_s, whole / count)
    return {
        name: whole * (EVEN_RATIO / count + (1.0 - EVEN_RATIO) * (per_s / total_per_s))
        for name, per_s in spilled_per_s.items()
    }
