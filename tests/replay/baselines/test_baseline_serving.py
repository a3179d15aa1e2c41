"""The autoscalers that serving systems bring along: Ray Serve, SkyServe, SageMaker, KubeAI."""

from controller.replay.baselines.kubeai import kubeai
from controller.replay.baselines.ray_serve import ray_serve
from controller.replay.baselines.sagemaker import sagemaker
from controller.replay.baselines.skyserve import skyserve
from tests.replay.baselines.baseline_world import facts, seen, steady, wishes


def test_ray_acts_on_a_wish_that_stands() -> None:
    """20 ongoing at 2 each are 10 replicas, after 30 s of wishing so; queued requests are ongoing too."""
    assert steady(ray_serve(facts(), 2.0), seen(ready=4, running=15, waiting=5), 40) == [4, 4, 4, 10, 10]


def test_ray_waits_ten_minutes_to_shrink() -> None:
    """Down after 600 s of the same direction; a single wish up starts the count anew."""
    policy = ray_serve(facts(), 2.0)
    assert steady(policy, seen(ready=10, running=10), 600)[-2:] == [10, 5]
    steady(policy, seen(ready=5, running=4), 300, from_s=610)
    steady(policy, seen(ready=5, running=12), 20, from_s=920)
    assert steady(policy, seen(ready=5, running=4), 590, from_s=950)[-1] == 5


def test_ray_looks_back_half_a_minute() -> None:
    """One scrape of a burst is a third of what it looks at."""
    policy = ray_serve(facts(), 2.0)
    steady(policy, seen(ready=4, running=8), 100)
    assert wishes(policy, seen(ready=4, running=8), seen(ready=4, running=14), from_s=110) == [4, 4]


def test_ray_goes_to_none_from_one_alone_and_wakes_at_once() -> None:
    """Idle, four become one, then none, ten minutes apart; a request brings one without delay."""
    policy = ray_serve(facts(), 2.0)
    counts = steady(policy, seen(ready=4), 1300)
    assert sorted(set(counts), reverse=True) == [4, 1, 0]
    assert wishes(policy, seen(ready=0), seen(ready=0, waiting=1), from_s=1310) == [0, 1]
    assert wishes(policy, seen(ready=0, starting=1, arrivals_per_s=1), from_s=1330) == [1]


def test_sky_needs_15_decisions_up() -> None:
    """56 requests/s at 7 are 8; five minutes of decisions, then at once, whatever starts meanwhile."""
    counts = steady(skyserve(facts(), 0.7), seen(ready=4, arrivals_per_s=56), 300)
    assert counts == [4] * 14 + [8, 8]


def test_sky_needs_60_decisions_down() -> None:
    """Twenty minutes of fewer; an agreeing decision between starts the count anew."""
    assert steady(skyserve(facts(), 0.7), seen(ready=4, arrivals_per_s=14), 1180)[-2:] == [4, 2]
    policy = skyserve(facts(), 0.7)
    steady(policy, seen(ready=4, arrivals_per_s=14), 1000)
    wishes(policy, *[seen(ready=4, arrivals_per_s=50)] * 3, from_s=1020)
    assert steady(policy, seen(ready=4, arrivals_per_s=14), 1000, from_s=1080)[-1] == 4


def test_sky_from_none_at_once() -> None:
    """At none there is no delay."""
    assert wishes(skyserve(facts(), 0.7), seen(ready=0), seen(ready=0, arrivals_per_s=28)) == [0, 2]


def test_sky_does_not_count_what_is_spilled_before_it() -> None:
    """Its load balancer stands behind the gateway that spills."""
    policy = skyserve(facts(), 0.7)
    assert steady(policy, seen(ready=4, arrivals_per_s=56, spilled_per_s=28), 900) == [4] * 46


def test_sagemaker_scales_out_on_three_of_three_minutes() -> None:
    """70 invocations/s on 4 instances at 7 each: the alarm of the third minute makes 10."""
    assert steady(sagemaker(facts(), 0.7), seen(ready=4, arrivals_per_s=70), 120) == [4, 4, 10]


def test_sagemaker_waits_while_it_updates_and_for_its_cooldown() -> None:
    """Nothing is ordered while instances start, nor within 300 s of the last way out."""
    policy = sagemaker(facts(), 0.7)
    steady(policy, seen(ready=4, arrivals_per_s=70), 120)
    assert steady(policy, seen(ready=4, starting=6, arrivals_per_s=140), 60, from_s=180) == [10, 10]
    assert steady(policy, seen(ready=10, arrivals_per_s=140), 120, from_s=300) == [10, 10, 20]


def test_sagemaker_scales_in_on_fifteen_minutes() -> None:
    """Fifteen minutes below 90 % of the target, then once per cooldown."""
    policy = sagemaker(facts(), 0.7)
    assert steady(policy, seen(ready=8, arrivals_per_s=28), 840)[-2:] == [8, 4]
    assert steady(policy, seen(ready=4, arrivals_per_s=7), 240, from_s=900) == [4, 4, 4, 4, 1]


def test_sagemaker_cannot_leave_none() -> None:
    """Without an instance there are no invocations to count: one at least."""
    assert wishes(sagemaker(facts(), 0.7), seen(ready=0, arrivals_per_s=50)) == [1]
    assert wishes(sagemaker(facts(), 0.7), seen(ready=0, starting=2)) == [2]


def test_kubeai_is_the_mean_of_ten_minutes_that_begin_with_zeros() -> None:
    """300 active at 100 each are 3 replicas, of which the second is asked for after 3.5 minutes."""
    counts = steady(kubeai(facts(), 100.0), seen(ready=1, running=200, waiting=100), 600)
    assert [counts.index(n) for n in (2, 3)] == [20, 40]


def test_kubeai_shrinks_after_three_checks_that_agree() -> None:
    """Fewer on three checks in a row, then on the fourth; a check that does not agree starts anew."""
    policy = kubeai(facts(), 100.0)
    steady(policy, seen(ready=3, running=300), 600)
    assert steady(policy, seen(ready=3, running=0), 220, from_s=610)[-4:] == [3, 3, 3, 2]
    again = kubeai(facts(), 1.0)
    steady(again, seen(ready=5, running=5), 600)
    wishes(again, *[seen(ready=5, running=0)] * 13, from_s=610)
    assert wishes(again, *[seen(ready=5, running=300)] * 1, from_s=740)[0] > 5


def test_kubeai_wakes_by_its_proxy() -> None:
    """At none a request starts the first replica without a check."""
    policy = kubeai(facts(), 100.0)
    assert wishes(policy, seen(ready=0), seen(ready=0, arrivals_per_s=1)) == [0, 1]
