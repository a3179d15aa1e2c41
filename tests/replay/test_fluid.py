"""The fluid simulation: what it counts, what it bills, what policies see, what is refused."""

import math
from typing import Any

import pytest
from fluid_runs import CAPACITY, Constant, Planned, curve, economics, run
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.errors import SimulationError
from controller.replay.fluid import FluidRun, offered_requests, simulate
from controller.replay.fluid_pool import ReplicaShape, Shortage
from controller.replay.oracle import optimum
from controller.replay.oracle_schedule import ScheduleAutoscaler


def test_a_replica_is_paid_from_its_order_and_serves_after_its_cold_start() -> None:
    """Ordered in the first slot, ready in the third, released in the fifth: four more slots are paid."""
    outcome = run(Planned(2, 2, 2, 2, 1), *[5.0] * 6)
    series = outcome.series
    assert series is not None
    assert list(series.ready) == [1, 1, 2, 2, 1, 1]
    assert list(series.starting) == [1, 1, 0, 0, 0, 0]
    assert outcome.gpu_usd == pytest.approx(6 + 4)
    assert (outcome.peak_replicas, outcome.spilled, outcome.late) == (2, 0, 0)
    assert outcome.actions_per_hour == pytest.approx(2 / (60 / 3600))


def test_what_starts_is_cancelled_before_what_serves_is_released() -> None:
    """A wish taken back while the replica still starts: no ready one goes, and the order is paid until then."""
    outcome = run(Planned(2, 1), *[5.0] * 4)
    series = outcome.series
    assert series is not None
    assert list(series.ready) == [1, 1, 1, 1]
    assert outcome.gpu_usd == pytest.approx(4 + 1)


def test_a_draining_replica_is_paid_and_serves_nothing() -> None:
    """Released with two slots to drain: paid for two more."""
    outcome = run(Planned(1), *[5.0] * 4, ready_at_start=2, drain_s=20.0)
    series = outcome.series
    assert series is not None
    assert list(series.ready) == [1, 1, 1, 1]
    assert outcome.gpu_usd == pytest.approx(4 + 2)


def test_a_cold_start_of_nothing_serves_at_once() -> None:
    """D = 0: ordered and ready in the same slot."""
    outcome = run(Planned(1, 2), 5.0, 10.0, pool=economics(cold_start_s=0.0))
    assert outcome.spilled == 0
    assert outcome.gpu_usd == pytest.approx(3)


def test_a_wish_outside_the_bounds_of_the_pool_is_cut() -> None:
    """No more than the most, no less than the least."""
    assert run(Constant(50), *[5.0] * 9, pool=economics(max_replicas=3)).peak_replicas == 3
    low = run(Constant(0), *[5.0] * 9, pool=economics(min_replicas=2))
    assert low.peak_replicas == 2
    assert low.gpu_usd == pytest.approx(18)


def test_a_run_keeps_no_series_unless_asked() -> None:
    """A week of slots weighs something."""
    assert run(Constant(1), 5.0, keep_series=False).series is None


def test_nothing_offered_is_nothing_missed() -> None:
    """No demand at all: no cost but the least replicas, full attainment."""
    outcome = run(Constant(0), 0.0, 0.0)
    assert (outcome.usd, outcome.attained_ratio, outcome.flips_per_hour) == (0, 1.0, 0)


def test_policies_see_the_last_scrape_and_the_count_of_now() -> None:
    """Thirty seconds between scrapes: metrics stand still between, while a replica that got ready shows at once."""
    policy = Planned(1, 2)
    run(policy, 5.0, 2.5, 2.5, 10.0, 10.0, 10.0, 10.0, scrape_s=30.0)
    seen = dict(policy.seen)
    assert [seen[now_s].arrivals_per_s for now_s in (0, 10, 20, 30, 40, 50, 60)] == pytest.approx(
        [5.0, 5.0, 5.0, 10 / 3, 10 / 3, 10 / 3, 10.0]
    )
    assert [(seen[now_s].ready, seen[now_s].starting) for now_s in (0, 10, 20, 30)] == [(1, 0), (1, 0), (1, 1), (2, 0)]
    assert seen[60].demand_replicas == pytest.approx(2.0)
    assert seen[60].served_per_s + seen[60].spilled_per_s == pytest.approx(10.0)


def test_gauges_of_a_busy_and_of_an_idle_pool() -> None:
    """At capacity: the batch of the SLO and its TPOT; with nothing to do: none; no traffic has no latency."""
    busy = Constant(1)
    run(busy, *[5.0] * 4)
    seen = busy.seen[-1][1]
    shape = ReplicaShape()
    assert seen.running == pytest.approx(CAPACITY * (0.2 + 211 * 0.05))
    assert (seen.kv_usage_ratio, seen.tpot_mean_s) == (pytest.approx(0.9), pytest.approx(0.05))
    assert seen.ttft_p95_s == pytest.approx(shape.ttft_idle_s)
    assert (seen.input_tokens_mean, seen.output_tokens_mean) == (1155.0, 211.0)
    idle = Constant(1)
    run(idle, *[0.0] * 4)
    seen = idle.seen[-1][1]
    assert (seen.running, seen.kv_usage_ratio, seen.ttft_p95_s, seen.tpot_mean_s) == (0, 0, None, None)
    none = Constant(0)
    run(none, *[0.0] * 4)
    assert none.seen[-1][1].kv_usage_ratio == 0


def test_a_policy_ticks_by_its_own_period() -> None:
    """Twice per slot, or every other slot: the times it is told are its own."""
    fast, slow = Constant(1, period_s=5.0), Constant(1, period_s=20.0)
    run(fast, *[5.0] * 3)
    run(slow, *[5.0] * 4)
    assert [now_s for now_s, _ in fast.seen] == [0, 5, 10, 15, 20]
    assert [now_s for now_s, _ in slow.seen] == [0, 20]


def test_without_nodes_orders_wait_unpaid_until_there_are_some() -> None:
    """Three wanted, nodes for two: the third starts when the shortage is over, and what is taken back first is that."""
    short = {"shortages": (Shortage(from_s=0.0, until_s=60.0, replicas=2),)}
    series = run(Planned(3), *[5.0] * 10, **short).series
    assert series is not None
    assert list(series.ready) == [1, 1, 2, 2, 2, 2, 2, 2, 3, 3]
    assert list(series.starting) == [2, 2, 1, 1, 1, 1, 1, 1, 0, 0]
    assert run(Planned(3), *[5.0] * 10, **short).gpu_usd == pytest.approx(10 + 10 + 4)
    assert run(Planned(3, 2), *[5.0] * 10, **short).gpu_usd == pytest.approx(10 + 10)


def test_cold_starts_vary_and_fail_by_seed() -> None:
    """Lognormal about the mean, again after a failure; the same seed has the same run."""

    def ready(seed: int, **how: float) -> list[int]:
        outcome = simulate(
            curve(*[5.0] * 60),
            economics(),
            Planned(1, 9),
            seed=seed,
            run=FluidRun(noise=False, keep_series=True, **how),
        )
        assert outcome.series is not None
        return list(outcome.series.ready)

    assert ready(1, cold_start_cv=0.5) == ready(1, cold_start_cv=0.5)
    assert ready(1, cold_start_cv=0.5) != ready(2, cold_start_cv=0.5)
    assert ready(1, failure_ratio=0.9).index(9) > 3
    assert ready(1).index(9) == 3


def test_noise_is_poisson_and_of_its_seed() -> None:
    """The mean stays, the spread is that of counts, and without noise the curve is taken as it is."""
    flat = curve(*[5.0] * 2000)
    counts = offered_requests(flat, 3)
    assert counts == offered_requests(flat, 3)
    assert counts != offered_requests(flat, 4)
    mean = sum(counts) / 2000
    assert mean == pytest.approx(50, rel=0.02)
    assert sum((count - mean) ** 2 for count in counts) / 2000 == pytest.approx(50, rel=0.15)
    assert offered_requests(flat, 3, noise=False) == [50.0] * 2000


@settings(max_examples=30, deadline=None)
@given(rates=st.lists(st.integers(0, 30), min_size=1, max_size=40), cold_slots=st.integers(0, 4))
def test_the_optimum_replayed_costs_what_it_says(rates: list[int], cold_slots: int) -> None:
    """Where no queue can help, the schedule of the optimum, replayed slot by slot, costs and spills what it should."""
    pool = economics(cold_start_s=cold_slots * 10.0, spill_usd_per_request=0.05)
    demand = [float(rates[0])] * cold_slots + [float(rate) for rate in rates]
    first = math.ceil(rates[0] / CAPACITY)
    best = optimum(demand, 10.0, pool, ready_at_start=first)
    policy = ScheduleAutoscaler(best.replicas.tolist(), 10.0, pool.cold_start_s)
    shape = ReplicaShape(ttft_slo_s=1.0, ttft_idle_s=0.9)
    outcome = run(policy, *demand, pool=pool, ready_at_start=first, shape=shape)
    assert outcome.late + outcome.lost == pytest.approx(0, abs=1e-5)
    assert outcome.spill_usd == pytest.approx(best.spill_usd, abs=1e-5)
    assert outcome.usd == pytest.approx(best.usd, abs=1e-5)


@pytest.mark.parametrize(
    ("replicas", "slot_s", "said"),
    [([], 10.0, "the schedule has no slots"), ([1], 0.0, "slot_s is 0")],
    ids=["empty", "no-slot"],
)
def test_schedules_that_cannot_be_are_refused(replicas: list[int], slot_s: float, said: str) -> None:
    """Named with what is needed."""
    with pytest.raises(SimulationError, match=said):
        ScheduleAutoscaler(replicas, slot_s, 20.0)


def test_a_schedule_orders_ahead_and_holds_its_last() -> None:
    """Each slot wants the highest count within a cold start; rounding up to whole slots; past the end the last."""
    policy = ScheduleAutoscaler([0, 0, 0, 2, 1, 0], 10.0, 15.0)
    assert [policy.step(None, 10.0 * slot).replicas for slot in range(8)] == [0, 2, 2, 2, 1, 0, 0, 0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"gateway": "magic"}, "gateway is 'magic'; it must be valve, mode, naive or none"),
        ({"scrape_s": 0.0}, "scrape_s is 0"),
        ({"failure_ratio": 1.0}, r"failure_ratio is 1; it must be in \[0, 1\)"),
        ({"patience_s": math.inf}, "patience_s is inf"),
        ({"drain_s": -1.0}, "drain_s is -1"),
        ({"cold_start_cv": math.nan}, "cold_start_cv is nan"),
    ],
    ids=str,
)
def test_runs_that_cannot_be_are_refused(how: dict[str, Any], said: str) -> None:
    """Named with value and what is allowed."""
    with pytest.raises(SimulationError, match=said):
        run(Constant(1), 1.0, **how)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ttft_slo_s": 0.0}, "ttft_slo_s is 0"),
        ({"output_tokens": math.nan}, "output_tokens is nan"),
        ({"tpot_idle_s": 0.1}, r"tpot_idle_s is 0.1; it must be at most tpot_at_slo_s \(0.05\)"),
        ({"batch_headroom_ratio": -1.0}, "batch_headroom_ratio is -1"),
    ],
    ids=str,
)
def test_shapes_that_cannot_be_are_refused(change: dict[str, float], said: str) -> None:
    """Named with value and what is allowed."""
    with pytest.raises(SimulationError, match=said):
        ReplicaShape(**change)


def test_a_policy_without_a_period_is_refused() -> None:
    """It would tick for ever."""
    with pytest.raises(SimulationError, match="period_s of constant is 0"):
        run(Constant(1, period_s=0.0), 1.0)
