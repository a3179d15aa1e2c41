"""The fluid simulation: how gateways spill, and what becomes of what they do not."""

import math

import pytest
from fluid_runs import CAPACITY, Constant, Planned, economics, run
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.replay.fluid_pool import ReplicaShape
from controller.replay.simulation_types import Economics, Wish


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


def test_spilling_that_pauses_for_less_than_a_minute_has_not_ended() -> None:
    """Two bursts within a minute are one spell: it began, and ended once."""
    outcome = run(Constant(1), 10.0, 0.0, 10.0, *[0.0] * 7, ready_at_start=1)
    assert outcome.flips_per_hour * 100 / 3600 == pytest.approx(2)


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
