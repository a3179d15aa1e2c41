"""Many times the load that a pool bears: what can be served is served in time, the others hear at once."""

from __future__ import annotations

from tests.gateway.overload_world import CAPACITY_PER_S, overloaded


def test_overload_costs_no_goodput() -> None:
    """At 2, 5 and 10 times the capacity: 90 % of the best goodput, first tokens no later than at capacity by half."""
    at_capacity = overloaded(1.0)
    loads = [overloaded(ratio) for ratio in (2.0, 5.0, 10.0)]
    peak_per_s = max(at_capacity.goodput_per_s, *(load.goodput_per_s for load in loads))
    assert peak_per_s > 0.9 * CAPACITY_PER_S
    for load in loads:
        assert load.goodput_per_s >= 0.9 * peak_per_s
        assert load.ttft_p99_s <= 1.5 * at_capacity.ttft_p99_s
        assert load.refused_p99_s <= 0.05
        assert load.refused > load.answered
        assert load.failed == 0
