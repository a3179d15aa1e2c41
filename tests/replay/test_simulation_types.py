"""The values that simulations speak: what they refuse and what they derive."""

import math
from typing import Any

import pytest

from controller.core.errors import SimulationError
from controller.replay.simulation_types import Curve, Economics, Outcome

GOOD: dict[str, Any] = {
    "replica_usd_per_s": 0.001,
    "spill_usd_per_request": 0.0003,
    "replica_requests_per_s": 7.2,
    "cold_start_s": 300.0,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"replica_usd_per_s": math.nan}, "replica_usd_per_s is nan"),
        ({"replica_usd_per_s": -1}, "replica_usd_per_s is -1"),
        ({"replica_usd_per_s": math.inf}, "replica_usd_per_s is inf; it must be a finite number"),
        ({"spill_usd_per_request": math.nan}, "spill_usd_per_request is nan; it must be a number >= 0 or inf"),
        ({"replica_requests_per_s": 0}, "replica_requests_per_s is 0; it must be a number > 0"),
        ({"cold_start_s": -5}, "cold_start_s is -5"),
        ({"spill_limit_per_s": math.nan}, "spill_limit_per_s is nan"),
        ({"min_replicas": -1}, "min_replicas is -1"),
        ({"min_replicas": 0.5}, "min_replicas is 0.5; it must be an integer >= 0"),
        ({"max_replicas": 4.0}, r"max_replicas is 4; it must be an integer >= min_replicas \(0\)"),
        ({"max_replicas": math.inf}, "max_replicas is inf; it must be an integer"),
        ({"min_replicas": 3, "max_replicas": 2}, r"max_replicas is 2; it must be an integer >= min_replicas \(3\)"),
    ],
    ids=str,
)
def test_economics_that_cannot_be_are_refused(change: dict[str, float], said: str) -> None:
    """The message names the field, its value and what is allowed."""
    with pytest.raises(SimulationError, match=said):
        Economics(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("spill_usd", "ratio"),
    [(0.0003, 0.001 / (0.0003 * 7.2)), (math.inf, 0.0), (0.0, math.inf)],
    ids=["priced", "forbidden", "free"],
)
def test_worthwhile_use_of_a_replica(spill_usd: float, ratio: float) -> None:
    """A replica pays from the use at which spilling its work would cost as much."""
    assert Economics(**{**GOOD, "spill_usd_per_request": spill_usd}).worthwhile_ratio == ratio


@pytest.mark.parametrize(
    ("slot_s", "rates", "said"),
    [
        (0.0, [1.0], "slot_s of x is 0"),
        (math.inf, [1.0], "slot_s of x is inf"),
        (10.0, [], "slots of x is 0; it must be at least one"),
        (10.0, [1.0, math.nan], r"rates_per_s\[1\] of x is nan"),
        (10.0, [-2.0], r"rates_per_s\[0\] of x is -2"),
        (10.0, [math.inf], r"rates_per_s\[0\] of x is inf"),
    ],
    ids=str,
)
def test_curves_that_cannot_be_are_refused(slot_s: float, rates: list[float], said: str) -> None:
    """No slots, no length of a slot, a rate that is none: told by slot and value."""
    with pytest.raises(SimulationError, match=said):
        Curve(name="x", slot_s=slot_s, rates_per_s=rates, kind="synthetic")


def test_a_curve_of_zeros_is_a_curve() -> None:
    """No demand at all is demand."""
    assert Curve(name="x", slot_s=10.0, rates_per_s=[0.0, 0.0], kind="synthetic").duration_s == 20.0


@pytest.mark.parametrize(("offered", "per_1k", "share"), [(2000.0, 5.0, 0.5), (0.0, 0.0, 1.0)], ids=["some", "none"])
def test_an_outcome_tells_its_shares(offered: float, per_1k: float, share: float) -> None:
    """Cost per thousand and attainment are of what was offered; nothing offered is nothing missed."""
    outcome = Outcome(
        policy="p",
        workload="w",
        seed=1,
        usd=10.0,
        gpu_usd=8.0,
        spill_usd=2.0,
        offered=offered,
        attained=offered / 2,
        spilled=0.0,
        late=0.0,
        lost=0.0,
        actions_per_hour=0.0,
        flips_per_hour=0.0,
        regret_ratio=0.0,
        peak_replicas=1,
    )
    assert outcome.usd_per_1k == per_1k
    assert outcome.attained_ratio == share
