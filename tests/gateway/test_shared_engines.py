"""Several gateways before one engine: demand that steps up is spilled in time, though each sees a part of it."""

from __future__ import annotations

import pytest

from tests.gateway.shared_engine_world import stepped

pytestmark = pytest.mark.timeout(120)
SEEDS = (2, 4, 6)


def test_three_gateways_spill_within_a_second_of_the_first_late_request() -> None:
    """And far fewer are late than when each takes itself for the only one."""
    found = [stepped(3, calm=0.3, crowded=2.0, seed=seed) for seed in SEEDS]
    alone = [stepped(3, calm=0.3, crowded=2.0, seed=seed, told=1) for seed in SEEDS]
    assert max(one.spilled_after_s for one in found) <= 0.5
    assert sum(one.late for one in found) < 0.7 * sum(one.late for one in alone)


def test_one_gateway_spills_before_anybody_is_late() -> None:
    """It sees all there is, and hardly anything leaves while there is room."""
    found = [stepped(1, calm=0.3, crowded=2.0, seed=seed) for seed in SEEDS]
    assert [one.late_before for one in found] == [0, 0, 0]
    assert sum(one.calm_spilled for one in found) == 0


def test_gateways_that_know_of_each_other_spill_little_for_nothing() -> None:
    """At a third of what the engine bears."""
    found = [stepped(3, calm=0.3, crowded=0.3, seed=seed) for seed in SEEDS]
    assert sum(one.spilled + one.calm_spilled for one in found) <= 0.02 * sum(
        one.requests + one.calm_requests for one in found
    )
