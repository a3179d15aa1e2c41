"""The fluid simulation: what it counts, what it bills, what policies see, and how the three gateways spill."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.errors import SimulationError
from controller.replay.fluid import FluidRun, offered_requests, simulate
from controller.replay.fluid_pool import ReplicaShape, Shortage
from controller.replay.oracle import optimum
from controller.replay.oracle_schedule import ScheduleAutoscaler
from controller.replay.simulation_types import Curve, Economics, Outcome, Seen, Wish

CAPACITY = 5.0  # requests per second of a replica


class Constant:
    """Wants the same all the time, and keeps what it was shown."""

    name = "constant"

    def __init__(self, replicas: int, spill_ratio: float | None = None, period_s: float = 10.0) -> None:
        self.period_s = period_s
        self.wish = Wish(replicas=replicas, spill_ratio=spill_ratio)
        self.seen: list[tuple[float, Seen]] = []

    def step(self, seen: Seen, now_s: float) -> Wish:
        """Always the same."""
        self.seen.append((now_s, seen))
        return self.wish


class Planned(Constant):
    """Wants what the list says, tick by tick, then its last."""

    def __init__(self, *replicas: int) -> None:
        super().__init__(replicas[-1])
        self.plan = list(replicas)

    def step(self, seen: Seen, now_s: float) -> Wish:
        """The next of the list."""
        super().step(seen, now_s)
        return Wish(replicas=self.plan.pop(0)) if self.plan else self.wish


def curve(*rates: float) -> Curve:
    """Slots of ten seconds."""
    return Curve(name="curve", slot_s=10.0, rates_per_s=rates, kind="synthetic")


def economics(**change: Any) -> Economics:
    """One dollar per replica and slot, one cent per spilled request, two slots to start."""
    values = {
        "replica_usd_per_s": 0.1,
        "spill_usd_per_request": 0.01,
        "replica_requests_per_s": CAPACITY,
        "cold_start_s": 20.0,
    }
    return Economics(**{**values, **change})


def run(policy: Constant | ScheduleAutoscaler, *rates: float, pool: Economics | None = None, **how: Any) -> Outcome:
    """A run without noise, with its series."""
    how = {"noise": False, "keep_series": True, **how}
    return simulate(curve(*rates), pool or economics(), policy, seed=1, run=FluidRun(**how))


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


@pytest.mark.parametrize(
    ("gateway", "spilled", "late", "regret"),
    [
        (
            "valve",
            400 - 4 * 50 - 8,
            0.0,
            0.0,
        ),  # the queue holds 1.6 s of one replica: 90 % of 2 s, without the idle TTFT
        ("none", 0.0, 82 + 300, 0.0),  # of the first slot those late who found more than 1.8 s before them
        ("naive", 300.0, 82.0, 100 / 300),  # opens after the first slot, and one later finds the replica idle
    ],
    ids=["valve", "none", "naive"],
)
def test_what_does_not_fit_is_spilled_or_late(gateway: str, spilled: float, late: float, regret: float) -> None:
    """Twice what one replica can, for four slots, by each gateway; nothing is counted twice."""
    outcome = run(Constant(1), *[10.0] * 4, *[0.0] * 4, ready_at_start=1, gateway=gateway)
    assert outcome.spilled == pytest.approx(spilled)
    assert outcome.late == pytest.approx(late)
    assert outcome.lost == 0
    assert outcome.attained == pytest.approx(400 - late)
    assert outcome.regret_ratio == pytest.approx(regret)
    assert outcome.spill_usd == pytest.approx(spilled * 0.01)
    assert outcome.usd == pytest.approx(8 + spilled * 0.01)


def test_who_comes_after_the_queue_is_gone_is_not_late() -> None:
    """Ten seconds of work wait; of a slot that is done with it in half its time only the first part is late."""
    outcome = run(Planned(1, 3), 10.0, 5.0, gateway="none", ready_at_start=1, pool=economics(cold_start_s=0.0))
    assert outcome.late == pytest.approx(82 + 50 * (50 - 27) / 100)


def test_a_naive_fallback_closes_after_a_minute() -> None:
    """Six slots of nothing but spilling, then all is at home again."""
    outcome = run(Constant(1), 10.0, *[4.0] * 10, ready_at_start=1, gateway="naive")
    series = outcome.series
    assert series is not None
    assert list(series.spilled_per_s) == [0.0] + [4.0] * 6 + [0.0] * 4


def test_a_batch_with_headroom_hides_what_is_late() -> None:
    """Engines that batch beyond their SLO have nobody waiting: the naive fallback stays shut, KV usage tells."""
    shape = ReplicaShape(batch_headroom_ratio=5.0, kv_usage_at_slo_ratio=0.5)
    policy = Constant(1)
    outcome = run(policy, *[10.0] * 4, ready_at_start=1, gateway="naive", shape=shape)
    assert (outcome.spilled, outcome.late) == (0, pytest.approx(82 + 300))
    _, seen = policy.seen[-1]
    assert seen.waiting == 0
    assert seen.kv_usage_ratio == 1.0
    assert seen.running > shape.running(CAPACITY, 1.0)


def test_what_a_policy_spills_comes_before_what_the_gateway_spills() -> None:
    """A tenth by the wish; of the rest what does not fit; and regret where home had room."""
    outcome = run(Constant(1, spill_ratio=0.1), 4.0, 4.0)
    assert outcome.spilled == pytest.approx(8)
    assert outcome.regret_ratio == 1.0
    full = run(Constant(1, spill_ratio=0.1), 10.0, ready_at_start=1)
    assert full.spilled == pytest.approx(100 - 50 - 8)


@pytest.mark.parametrize(
    "pool",
    [economics(spill_usd_per_request=math.inf), economics(spill_limit_per_s=0.0)],
    ids=["forbidden", "no-provider"],
)
def test_where_nothing_can_be_spilled_the_line_is_short(pool: Economics) -> None:
    """Even with a wish: 1.6 s of work wait, what is over is refused, and who is let in is in time."""
    outcome = run(Constant(1, spill_ratio=0.5), 10.0, 10.0, ready_at_start=1, pool=pool)
    assert (outcome.spilled, outcome.spill_usd, outcome.flips_per_hour) == (0, 0, 0)
    assert (outcome.late, outcome.lost) == (0, pytest.approx(42 + 50))


@pytest.mark.parametrize("gateway", ["naive", "none"])
def test_behind_other_gateways_all_work_waits(gateway: str) -> None:
    """A standing line makes everybody late."""
    pool = economics(spill_limit_per_s=0.0)
    outcome = run(Constant(1), 10.0, 10.0, ready_at_start=1, pool=pool, gateway=gateway)
    assert (outcome.late, outcome.lost) == (pytest.approx(82 + 100), 0)


@pytest.mark.parametrize("gateway", ["valve", "mode"])
def test_providers_bear_so_much_and_the_rest_is_refused(gateway: str) -> None:
    """Two requests per second go out; of ten, one replica serves five, so that three hear at once to come later."""
    outcome = run(Constant(1), *[10.0] * 9, ready_at_start=1, pool=economics(spill_limit_per_s=2.0), gateway=gateway)
    assert outcome.spilled == pytest.approx(180)
    assert outcome.attained == pytest.approx(180 + 450 + 8, rel=0.01)
    assert (outcome.late, outcome.lost) == (0, pytest.approx(900 - outcome.attained))


@pytest.mark.parametrize("gateway", ["valve", "mode"])
def test_a_pool_without_a_ready_replica_lets_requests_wait(gateway: str) -> None:
    """One is on its way for 20 s: what came before is served late, not refused."""
    pool = economics(spill_limit_per_s=1.0)
    outcome = run(Constant(1), *[3.0] * 9, ready_at_start=0, pool=pool, gateway=gateway)
    assert outcome.late > 0
    assert outcome.lost < outcome.late


def test_a_queue_longer_than_patience_loses_its_newest() -> None:
    """Twelve seconds of work may wait; what is over is lost, not late, and every request is one of these."""
    outcome = run(Constant(1), *[10.0] * 3, ready_at_start=1, gateway="none", patience_s=12.0)
    assert outcome.lost == pytest.approx(100 - 60 + 50)
    assert outcome.attained == pytest.approx(300 - outcome.late - outcome.lost)
    series = outcome.series
    assert series is not None
    assert sum(series.missed_per_s) * 10 == pytest.approx(outcome.late + outcome.lost)


def test_no_replica_and_no_provider_makes_everything_late() -> None:
    """A pool at zero that nobody wakes: what waits is late, what is over patience is lost."""
    outcome = run(Constant(0), *[5.0] * 20, ready_at_start=0, gateway="none")
    assert (outcome.attained, outcome.gpu_usd) == (0, 0)
    assert outcome.lost == pytest.approx(1000 - 300)


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


def test_spilling_that_pauses_for_less_than_a_minute_has_not_ended() -> None:
    """Two bursts within a minute are one spell: it began, and ended once."""
    outcome = run(Constant(1), 10.0, 0.0, 10.0, *[0.0] * 7, ready_at_start=1)
    assert outcome.flips_per_hour * 100 / 3600 == pytest.approx(2)


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


@settings(max_examples=40, deadline=None)
@given(
    rates=st.lists(st.floats(0, 30), min_size=1, max_size=30),
    replicas=st.lists(st.integers(0, 6), min_size=1, max_size=10),
    gateway=st.sampled_from(["valve", "mode", "naive", "none"]),
    limit=st.sampled_from([0.0, 3.0, math.inf]),
    ratio=st.sampled_from([None, 0.0, 0.4, 1.0]),
)
def test_every_request_has_one_fate(
    *, rates: list[float], replicas: list[int], gateway: str, limit: float, ratio: float | None
) -> None:
    """Whatever happens: shares within the offered, spilled within the limit, regret within spilled, cost as counted."""
    policy = Planned(*replicas)
    policy.wish = Wish(replicas=replicas[-1], spill_ratio=ratio)
    outcome = run(policy, *rates, pool=economics(spill_limit_per_s=limit), gateway=gateway)
    series = outcome.series
    assert series is not None
    assert outcome.offered == pytest.approx(10 * sum(rates))
    assert 0 <= outcome.spilled <= outcome.offered * (1 + 1e-9)
    assert max(series.spilled_per_s) <= limit
    assert min(outcome.late, outcome.lost) >= 0
    assert outcome.late + outcome.lost + outcome.spilled <= outcome.offered * (1 + 1e-9) + 1e-9
    assert 0 <= outcome.regret_ratio <= 1 + 1e-9
    paid = sum(series.ready) + sum(series.starting)
    assert outcome.gpu_usd == pytest.approx(paid)


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
