"""Arrivals along a demand curve, as irregular as their CV says.

A renewal process in operational time: gaps of mean 1 are drawn and laid along the integral of the rate. Counts then
have the variance `CV^2` times their mean, over times with many arrivals.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np

from controller.core.errors import SimulationError
from controller.replay.trace_files_types import Floats

REQUESTS_MAX = 200_000_000
_REGULAR = 0.05  # CV from which gaps count as equal


def thinned_cv(cv: Floats, factor: float) -> Floats:
    """The CV that counts keep when a process is scaled by `factor`.

    Below 1 each request stays with that probability: the dispersion `CV^2` goes to `1 + factor * (CV^2 - 1)`. Above 1
    independent copies of the process lie over each other, which leaves the dispersion as it is.
    """
    kept: Floats = np.sqrt(1.0 + min(1.0, factor) * (np.square(cv) - 1.0))
    return kept


def renewed(
    rates_per_s: Floats, slot_s: float, cv: Floats, rng: np.random.Generator, distribution: str = "Gamma"
) -> Floats:
    """Arrival times from 0, in order; gaps are Gamma or Weibull with the CV of the slot they fall in."""
    edges = np.concatenate(([0.0], np.cumsum(rates_per_s * slot_s)))
    if not edges[-1] <= REQUESTS_MAX:
        raise SimulationError(
            f"the workload has {edges[-1]:.3g} requests; at most {REQUESTS_MAX} are allowed: ask for less"
        )
    changes = np.flatnonzero(np.diff(cv)) + 1
    bounds = np.concatenate(([0], changes, [len(cv)]))
    found: list[Floats] = []
    ahead = 0.0  # of the next arrival, from the start of the stretch
    for first, last in pairwise(bounds.tolist()):
        positions, ahead = _stretch(float(edges[last] - edges[first]), ahead, float(cv[first]), rng, distribution)
        found.append(positions + edges[first])
    arrivals: Floats = np.interp(np.concatenate(found), edges, np.arange(len(edges)) * slot_s)
    return arrivals


def _stretch(
    length: float, ahead: float, cv: float, rng: np.random.Generator, distribution: str
) -> tuple[Floats, float]:
    """Positions below `length` with one CV, and how far past it the next one lies."""
    found: list[Floats] = []
    last = ahead
    while last < length:
        count = int((length - last) + 4 * cv * math.sqrt(length - last)) + 16
        positions = last + np.cumsum(_gaps(count, cv, rng, distribution))
        found.append(positions)
        last = float(positions[-1])
    positions = np.concatenate([np.empty(0), *found])
    within = int(np.searchsorted(positions, length))
    beyond = float(positions[within]) if within < len(positions) else last
    return positions[:within], beyond - length


def _gaps(count: int, cv: float, rng: np.random.Generator, distribution: str) -> Floats:
    if cv < _REGULAR:
        return np.ones(count)
    if distribution == "Weibull":
        shape = weibull_shape(cv)
        return rng.weibull(shape, count) / math.gamma(1.0 + 1.0 / shape)
    return rng.gamma(1.0 / cv**2, cv**2, count)


@lru_cache(maxsize=4096)
def weibull_shape(cv: float) -> float:
    """The shape at which a Weibull variable has this CV, by bisection."""
    low, high = 0.1, 50.0  # CV 429 and 0.025
    for _ in range(60):
        middle = (low + high) / 2
        if math.lgamma(1 + 2 / middle) - 2 * math.lgamma(1 + 1 / middle) > math.log1p(cv * cv):
            low = middle
        else:
            high = middle
    return high
