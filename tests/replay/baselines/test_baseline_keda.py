"""KEDA on the length of the queue."""

from controller.replay.baselines.keda import keda_queue, keda_queue_zero
from tests.replay.baselines.baseline_world import facts, seen, steady, wishes


def test_threshold_per_replica() -> None:
    """27 waiting over a threshold of 5 are 6 replicas, whichever are ready."""
    assert wishes(keda_queue(facts(), 5.0), seen(ready=2, starting=1, waiting=27)) == [6]


def test_chart_keeps_one_replica() -> None:
    """With an empty queue a busy pool goes to one replica after the HPA's window, and no lower."""
    counts = steady(keda_queue(facts(), 5.0), seen(ready=8, running=300), 800)
    assert (counts[0], counts[19], counts[20], counts[-1]) == (8, 8, 1, 1)


def test_operator_puts_an_idle_pool_to_sleep_and_wakes_it() -> None:
    """After 360 s without a waiting request none is left; the next arrival brings one, the HPA the rest."""
    policy = keda_queue_zero(facts(), 5.0)
    counts = steady(policy, seen(ready=3, running=100), 360)
    assert (counts[-2], counts[-1]) == (1, 0)
    assert steady(policy, seen(ready=0), 60, from_s=375) == [0] * 5
    awake = [seen(ready=0, arrivals_per_s=20), seen(ready=0, starting=1, arrivals_per_s=20), seen(ready=1, waiting=25)]
    assert wishes(policy, *awake, from_s=450) == [1, 1, 5]


def test_operator_starts_at_none() -> None:
    """A pool that starts with none stays there until something arrives."""
    assert wishes(keda_queue_zero(facts(), 5.0), seen(ready=0), seen(ready=0, arrivals_per_s=1)) == [0, 1]


def test_operator_keeps_the_least_of_the_pool() -> None:
    """Where the pool has a least count, sleep is off."""
    assert steady(keda_queue_zero(facts(min_replicas=2), 5.0), seen(ready=3), 800)[-1] == 2


def test_waiting_requests_keep_it_awake() -> None:
    """Whatever waits restarts the cooldown."""
    policy = keda_queue_zero(facts(), 5.0)
    assert 0 not in steady(policy, seen(ready=1, waiting=1), 900)
