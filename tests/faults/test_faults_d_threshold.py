"""Fault group D, threshold: an hour of load that swings around a threshold, in virtual time."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from controller.core.pools import SpillPolicy
from controller.routing.spill import SpillState, spill_step
from tests.faults.rows import bare_row
from tests.routing.builders import sample

pytestmark = [pytest.mark.faults, pytest.mark.timeout(60)]

HOUR_S = 3600
FLIPS_MOST = 4
POLICY = SpillPolicy(to=("gpt-4o-mini",))
PERIODS_S = (2, 7, 20, 45, 90, 240, 900)
SWING, NOISE = 0.1, 0.02
REPLICAS = 2


def _flips(middle: float, period_s: float, chance: random.Random) -> int:
    """How often the mode changes in an hour of saturation around `middle`; demand rises and falls with it."""
    state, modes = SpillState(), []
    for now_s in range(HOUR_S):
        saturation = middle + SWING * math.sin(2 * math.pi * now_s / period_s) + chance.gauss(0.0, NOISE)
        demand = REPLICAS * (1.0 + saturation - POLICY.enter_saturation_ratio)
        seen = sample(ready=REPLICAS, saturation_ratio=max(0.0, saturation), demand_replicas=max(0.0, demand))
        decision, state = spill_step(seen, state, POLICY, now_s=float(now_s))
        modes.append(decision.mode)
    return sum(before is not after for before, after in itertools.pairwise(modes))


def test_d12_load_at_the_threshold() -> None:
    """At most four changes of mode an hour, around either threshold, however quick or slow the swing."""
    with bare_row("D12", "load swings at the threshold, 1 h") as line:
        line.injected()
        middles = (POLICY.enter_saturation_ratio, POLICY.exit_saturation_ratio)
        flips = {
            (middle, period_s): _flips(middle, period_s, line.random) for middle in middles for period_s in PERIODS_S
        }
        line.detected()
        line.figures["flips_most"] = max(flips.values())
        assert max(flips.values()) <= FLIPS_MOST, flips
        assert any(flips.values()), "nothing ever spilled: the swing does not reach the threshold"
        line.healed()
