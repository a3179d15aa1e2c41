"""llm-d's WVA: saturation V1, tokens V2, and its queueing model."""

from dataclasses import replace

import pytest

from controller.replay.baselines.inferno import rate_at_slo_per_s, wva_queueing
from controller.replay.baselines.llmd import ReplicaPeaks, wva_v1, wva_v2
from controller.replay.simulation_types import Seen
from tests.replay.baselines.baseline_world import facts, seen, steady, wishes


@pytest.mark.parametrize(
    ("sight", "replicas"),
    [
        (seen(ready=4, kv_usage_ratio=0.65), 4),  # spares 0.15; three would spare less than nothing
        (seen(ready=4, kv_usage_ratio=0.71), 5),
        (seen(ready=4, kv_usage_ratio=0.9), 5),
        (seen(ready=4, kv_usage_ratio=0.1, waiting=9), 5),  # 2.25 each: spares 2.75 of 5
        (seen(ready=4, kv_usage_ratio=0.3, waiting=7), 4),  # 1.75 each; three would have 2.33
        (seen(ready=4, kv_usage_ratio=0.3), 3),
        (seen(ready=1, kv_usage_ratio=0.0), 1),
        (seen(ready=2, per_replica=((5, 0, 0.9), (5, 0, 0.1))), 2),  # the saturated one is left out of the mean
        (seen(ready=3, per_replica=((5, 0, 0.9), (5, 6, 0.1), (1, 0, 0.75))), 4),
        (seen(ready=4, starting=1, kv_usage_ratio=0.9), 5),
        (seen(ready=0), 1),
    ],
    ids=[
        "enough", "KV low", "all saturated", "queue low", "queue holds", "down", "one is least", "unsaturated alone",
        "spare of one", "pending", "no metric",
    ],
)  # fmt: skip
def test_v1_one_at_a_time(sight: Seen, replicas: int) -> None:
    """Up by one when little is spare, down by one when one fewer keeps enough, never while one is on its way."""
    assert wishes(wva_v1(facts(), 0.8), sight) == [replicas]


def test_v1_is_one_replica_per_cold_start() -> None:
    """Ten times the load: one more now, and nothing until it is ready."""
    policy = wva_v1(facts(), 0.8)
    full = {"kv_usage_ratio": 1.0, "waiting": 500.0}
    assert wishes(policy, seen(ready=2, **full), *[seen(ready=2, starting=1, **full)] * 5) == [3] * 6
    assert wishes(policy, seen(ready=3, **full), from_s=300) == [4]


def test_v1_looks_back_a_minute() -> None:
    """The peak of a minute ago is what counts, then it is gone."""
    policy = wva_v1(facts(), 0.8)
    wishes(policy, seen(ready=4, kv_usage_ratio=0.69))
    calm = seen(ready=4, kv_usage_ratio=0.2)
    assert wishes(policy, calm, calm, from_s=30) == [4, 3]


@pytest.mark.parametrize(
    ("sight", "replicas"),
    [
        # k1 = 80,000; batches: min(2048 * 200/1200, 256) = 256 sequences of 1,100 tokens: k1 binds.
        (seen(ready=4, kv_usage_ratio=0.65), 4),  # 260,000/0.85 = 305,882 of 320,000
        (seen(ready=4, kv_usage_ratio=0.7), 5),  # 280,000/0.85 = 329,411
        (seen(ready=4, kv_usage_ratio=0.75, waiting=16), 5),  # with 4,000 each in the queue: 316,000/0.85 = 371,764
        (seen(ready=4, starting=1, kv_usage_ratio=0.75), 5),  # 352,941 of 400,000
        (seen(ready=4, kv_usage_ratio=0.3), 3),  # 120,000/0.70: 148,571 are spare, one and a bit
        (seen(ready=4, kv_usage_ratio=0.0), 1),
        (seen(ready=0), 1),
        (seen(ready=0, starting=2), 2),
    ],
    ids=["enough", "up", "the queue counts", "pending counts", "down", "one is least", "no metric", "starting"],
)
def test_v2_tokens(sight: Seen, replicas: int) -> None:
    """Demand in tokens over the supply, pending replicas among it, with 0.85 to grow and 0.70 to shrink."""
    assert wishes(wva_v2(facts(), 0.85), sight) == [replicas]


def test_v2_orders_all_that_is_missing() -> None:
    """20 waiting per replica with 40,000 tokens in use: capacity is what was in use, and twice as many are due."""
    policy = wva_v2(facts(), 0.85)
    counts = wishes(
        policy, seen(ready=2, kv_usage_ratio=0.4, waiting=40), seen(ready=2, starting=2, kv_usage_ratio=0.4)
    )
    assert counts[0] == 4  # 120,000/0.85 = 141,176 of 40,000 each: 3.53


def test_v2_remembers_the_capacity_it_saw() -> None:
    """After a long queue the tokens then in use are the capacity of that bucket of output lengths, and of no other."""
    policy = wva_v2(facts(), 0.85)
    wishes(policy, seen(ready=2, kv_usage_ratio=0.4, waiting=40))
    again = seen(ready=4, kv_usage_ratio=0.38)
    assert wishes(policy, again, from_s=120) == [5]  # 152,000/0.85 = 178,824 of 40,000 each
    assert wishes(policy, replace(again, output_tokens_mean=50.0), from_s=240) == [4]  # of 80,000
    fresh = wva_v2(facts(), 0.85)
    assert wishes(fresh, again) == [3]


@pytest.mark.parametrize(
    ("output_tokens", "capacity_binds"),
    [(0.0, False), (20.0, True), (600.0, False)],
    ids=["unknown: k1", "short answers: the batch is small", "long answers: k1"],
)
def test_v2_derives_capacity_from_engine_arguments(output_tokens: float, capacity_binds: bool) -> None:
    """min(2048 * 20/1020, 256) = 40 sequences of 1,010 tokens: 40,549, which is less than 80,000."""
    counts = wishes(wva_v2(facts(), 0.85), seen(ready=4, kv_usage_ratio=0.5, output_tokens_mean=output_tokens))
    assert counts == [6 if capacity_binds else 4]


def test_peaks_of_replicas_that_leave_leave_too() -> None:
    """Of each replica the greatest of a minute; those of one that is gone are gone."""
    peaks = ReplicaPeaks()
    for now_s, per_replica in ((0.0, ((1, 2, 0.5), (1, 0, 0.1), (1, 9, 0.9))), (30.0, ((1, 1, 0.6), (1, 3, 0.1)))):
        sight = seen(ready=len(per_replica), per_replica=per_replica)
        peaks.add(sight, now_s)
    assert peaks.replicas(sight) == [(2, 0.6), (3, 0.1)]


def test_peaks_of_replicas_all_alike_are_of_the_sum() -> None:
    """A queue of 60 at one replica is 12 at each of five; KV use is spread so too, and full is full."""
    peaks = ReplicaPeaks()
    peaks.add(seen(ready=1, waiting=60, kv_usage_ratio=1.0), 0.0)
    grown = seen(ready=5, waiting=10, kv_usage_ratio=0.1)
    peaks.add(grown, 30.0)
    assert peaks.replicas(grown) == [(12, 0.2)] * 5
    shrunk = seen(ready=4)
    for now_s in (40.0, 50.0):
        peaks.add(seen(ready=6, kv_usage_ratio=0.9), now_s)
    peaks.add(shrunk, 60.0)
    assert peaks.replicas(shrunk) == [(2.5, 1.0)] * 4


def test_queueing_model_finds_the_rate_of_the_slo() -> None:
    """Steps of 10 ms and what 5 tokens of prompt per sequence cost: KV bounds the batch before 50 ms do.

    A step of n sequences takes 10 + 0.1 n + 0.25 n ms, 49.9 ms at 114; KV has room for 90: 41.5 ms and 10.8 requests/s,
    of which the model stays below.
    """
    rate = rate_at_slo_per_s(facts(), 1000, 200)
    assert 10.0 < rate < 90 / (0.06 + 200 * 0.0415)
    assert rate_at_slo_per_s(facts(), 1000, 200, slo_share=0.5) < 0.8 * rate


def test_queueing_model_that_cannot_hold_its_slo_serves_one_at_a_time() -> None:
    """Where even one request alone misses, a replica counts as one request after the other."""
    strict = replace(facts(), tpot_slo_s=0.001)
    assert rate_at_slo_per_s(strict, 1000, 200) == pytest.approx(1 / (0.06 + 200 * 0.0101 + 200 * 0.00025), rel=0.01)


def test_queueing_model_divides_the_arrivals() -> None:
    """Replicas are the mean rate of a minute over that rate; new sizes are looked at anew."""
    policy = wva_queueing(facts(), 1.0)
    rate = rate_at_slo_per_s(facts(), 992, 192)
    assert steady(policy, seen(ready=4, arrivals_per_s=3.5 * rate), 90) == [4] * 4
    longer = seen(ready=4, arrivals_per_s=3.5 * rate, output_tokens_mean=800.0)
    assert steady(policy, longer, 90, from_s=120)[-1] > 8
