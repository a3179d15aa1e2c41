"""The table of baselines: names, knobs, and what every one must bear."""

import math

import pytest

from controller.replay.baselines.registry import BASELINES
from tests.replay.baselines.baseline_world import facts, seen

SIGHTS = {
    "nothing there": seen(ready=0),
    "nothing there, demand": seen(ready=0, arrivals_per_s=500.0),
    "starting": seen(ready=0, starting=3, arrivals_per_s=50.0),
    "idle": seen(ready=5),
    "flooded": seen(ready=5, running=200, waiting=10_000, kv_usage_ratio=1.0, arrivals_per_s=5000, tpot_mean_s=0.2),
    "all spilled": seen(ready=5, arrivals_per_s=500.0, spilled_per_s=500.0),
    "no tokens": seen(ready=2, running=10, waiting=3, input_tokens_mean=0.0, output_tokens_mean=0.0),
}


@pytest.mark.parametrize("name", BASELINES)
def test_name_and_sweep(name: str) -> None:
    """Each is called as in the table at its default, which its sweep tries or brackets; states are its own."""
    baseline = BASELINES[name]
    pool = facts([10.0, 20.0] * 800)
    assert baseline(pool).name == name
    assert baseline(pool) is not baseline(pool)
    assert min(baseline.sweep) <= baseline.default <= max(baseline.sweep)
    assert list(baseline.sweep) == sorted(set(baseline.sweep))
    assert 0 < baseline.scrape_s <= 15
    assert set(baseline.gateways) <= {"none", "naive", "valve"}


@pytest.mark.parametrize("bounds", [(0, 50), (2, 6), (3, 3)], ids=["free", "bounded", "pinned"])
@pytest.mark.parametrize("name", BASELINES)
def test_bounds_always_hold(name: str, bounds: tuple[int, int]) -> None:
    """Whatever is seen, for minutes on end and at every setting of the knob, the wish is one the pool allows."""
    least, most = bounds
    for spill_usd in (0.0, 0.0002, math.inf):
        pool = facts([10.0, 900.0] * 800, min_replicas=least, max_replicas=most, spill_usd_per_request=spill_usd)
        for knob in (min(BASELINES[name].sweep), max(BASELINES[name].sweep)):
            policy = BASELINES[name](pool, knob)
            now_s = 0.0
            for sight in SIGHTS.values():
                for _ in range(12):
                    wish = policy.step(sight, now_s)
                    assert least <= wish.replicas <= most
                    assert wish.reason
                    now_s += policy.period_s
