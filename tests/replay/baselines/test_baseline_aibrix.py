"""AIBrix' autoscalers as coded and mended, on KV cache use with a target of 0.5."""

import pytest

from controller.replay.baselines.aibrix import (
    Cooldown,
    aibrix_apa,
    aibrix_apa_mended,
    aibrix_kpa,
    aibrix_kpa_mended,
    aibrix_optimizer,
)
from tests.replay.baselines.baseline_world import facts, seen, steady, wishes


@pytest.mark.parametrize(
    ("usage", "ready", "replicas"),
    [(0.54, 4, 4), (0.56, 4, 5), (0.75, 4, 6), (1.0, 3, 6), (0.46, 4, 4), (0.3, 4, 3), (0.05, 9, 4), (0.0, 1, 1)],
    ids=["tolerated", "just above", "up", "doubled", "tolerated below", "down", "halved at most", "one is least"],
)
def test_apa_rates_and_tolerances(usage: float, ready: int, replicas: int) -> None:
    """Proportional outside 10 %, at most doubled and at most halved in a step."""
    assert wishes(aibrix_apa(facts(), 0.5), seen(ready=ready, kv_usage_ratio=usage)) == [replicas]


def test_apa_doubles_at_most() -> None:
    """A use of thrice the target doubles."""
    assert wishes(aibrix_apa(facts(), 0.3), seen(ready=4, kv_usage_ratio=0.9)) == [8]


def test_apa_is_the_mean_of_three_minutes() -> None:
    """A peak of one scrape is one of 18 samples."""
    policy = aibrix_apa(facts(), 0.5)
    steady(policy, seen(ready=4, kv_usage_ratio=0.5), 170)
    assert wishes(policy, seen(ready=4, kv_usage_ratio=0.9), from_s=180) == [4]


def test_apa_as_coded_orders_again_while_pods_start() -> None:
    """The ready ones stay full, the ordered ones count as full: 2, 4, 8, 16 within half a minute."""
    policy = aibrix_apa(facts(), 0.5)
    sights = [seen(ready=2, starting=starting, kv_usage_ratio=1.0) for starting in (0, 2, 6)]
    assert wishes(policy, *sights) == [4, 8, 16]


def test_apa_mended_counts_what_starts() -> None:
    """With the guard for pending pods the order stands."""
    policy = aibrix_apa_mended(facts(), 0.5)
    sights = [seen(ready=2, starting=starting, kv_usage_ratio=1.0) for starting in (0, 2, 2)]
    assert wishes(policy, *sights) == [4, 4, 4]


def test_apa_mended_takes_starting_pods_as_at_target_on_the_way_down() -> None:
    """4 ready at half the target and 4 that start make 6, not 4."""
    policy = aibrix_apa_mended(facts(), 0.5)
    wishes(policy, seen(ready=8, kv_usage_ratio=0.5))
    counts = steady(policy, seen(ready=4, starting=4, kv_usage_ratio=0.25), 500, from_s=10)
    assert counts[-1] < 8
    assert min(counts) >= 4


@pytest.mark.parametrize(("mended", "counts"), [(False, [5, 8, 5, 5]), (True, [10, 8, 8, 8])], ids=["coded", "mended"])
def test_cooldown_as_coded_deepens_a_dip(mended: bool, counts: list[int]) -> None:
    """Though 7 are right now, the 5 of a minute ago is what the window gives; mended, the greatest is kept."""
    cooldown = Cooldown(mended=mended)
    settled = [cooldown.settle(10, 10, 0.0)]
    for recommended, current, now_s in ((5, 10, 10.0), (8, 5 if not mended else 8, 20.0), (7, 8, 80.0), (7, 8, 299.0)):
        settled.append(cooldown.settle(recommended, current, now_s))
    assert settled[1:] == counts


@pytest.mark.parametrize("make", [aibrix_apa, aibrix_apa_mended, aibrix_kpa, aibrix_kpa_mended])
def test_missing_metric_holds(make: object) -> None:
    """Without a ready pod there is no metric: the count stands, and is one at least."""
    assert callable(make)
    assert wishes(make(facts(), 0.5), seen(ready=0, starting=3), seen(ready=0, starting=3)) == [3, 3]
    assert wishes(make(facts(), 0.5), seen(ready=0)) == [1]


def test_kpa_as_coded_cannot_ask_for_more_than_two() -> None:
    """The mean of pods is at most 1, and 1 over 0.5 is 2: ten full pods are halved down to two."""
    policy = aibrix_kpa(facts(), 0.5)
    sights = [seen(ready=ready, kv_usage_ratio=1.0) for ready in (10, 5, 2, 2)]
    assert wishes(policy, *sights) == [5, 2, 2, 2]


def test_kpa_mended_takes_the_sum() -> None:
    """Ten pods at 0.6 are 6 over 0.5: 12."""
    assert wishes(aibrix_kpa_mended(facts(), 0.5), seen(ready=10, kv_usage_ratio=0.6)) == [12]


def test_kpa_panics_on_the_short_window() -> None:
    """When the last minute is more than twice the last three, it decides; mended, what it reached is held."""
    mended = aibrix_kpa_mended(facts(), 0.1)
    steady(mended, seen(ready=2, kv_usage_ratio=0.1), 170)
    full = steady(mended, seen(ready=2, kv_usage_ratio=0.5), 50, from_s=180)
    assert full[-1] > 4
    assert steady(mended, seen(ready=full[-1], kv_usage_ratio=0.01), 100, from_s=240)[-1] == full[-1]
    coded = aibrix_kpa(facts(), 0.1)
    steady(coded, seen(ready=2, kv_usage_ratio=0.05), 170)
    assert steady(coded, seen(ready=2, kv_usage_ratio=0.5), 50, from_s=180)[-1] == 5


def test_optimizer_asks_for_the_greater_of_window_and_now() -> None:
    """A burst counts at once, and for four minutes after it in the rate; KPA's mean of three minutes is on top."""
    policy = aibrix_optimizer(facts(), 1.0)
    assert wishes(policy, seen(ready=4, arrivals_per_s=35)) == [4]
    counts = steady(policy, seen(ready=4, arrivals_per_s=45), 200, from_s=10)
    assert (counts[0], counts[-1]) == (5, 5)
    policy = aibrix_optimizer(facts(), 1.0)
    steady(policy, seen(ready=2, arrivals_per_s=15), 170)
    assert wishes(policy, seen(ready=2, arrivals_per_s=20), seen(ready=2, arrivals_per_s=35), from_s=180) == [2, 3]


def test_optimizer_may_go_to_none() -> None:
    """No demand asks for no replica."""
    assert steady(aibrix_optimizer(facts(), 1.0), seen(ready=1), 400)[-1] == 0
