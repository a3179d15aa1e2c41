"""What baselines know of a pool, the count they keep, and the windows they remember in."""

from dataclasses import replace

import pytest

from controller.core.errors import SimulationError
from controller.replay.baselines.pool_facts import ReplicaSpec, whole
from controller.replay.baselines.windows import Agreement, Window, direction
from tests.replay.baselines.baseline_world import economics, facts, seen


@pytest.mark.parametrize("name", ["replica_concurrency", "kv_tokens", "ttft_slo_s", "tpot_slo_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_facts_are_refused(name: str, value: float) -> None:
    """A pool without concurrency, cache or SLO is refused with the name of what is wrong."""
    with pytest.raises(SimulationError, match=f"{name} is"):
        replace(facts(), **{name: value})


def test_hindsight_needs_a_curve() -> None:
    """What is fixed in hindsight says that it needs the demand curve."""
    with pytest.raises(SimulationError, match="curve is missing"):
        _ = facts().hindsight


@pytest.mark.parametrize(
    ("bounds", "at_least", "wished", "kept"),
    [
        ({}, 0, 7, 7),
        ({}, 0, -3, 0),
        ({}, 1, 0, 1),
        ({"min_replicas": 3}, 1, 0, 3),
        ({"max_replicas": 5}, 1, 9, 5),
        ({"max_replicas": 0}, 1, 9, 0),
    ],
    ids=["free", "never below none", "least of its own", "least of the pool", "most", "none allowed"],
)
def test_count_stays_within_bounds(bounds: dict[str, int], at_least: int, wished: int, kept: int) -> None:
    """Whatever is wished, the count in the spec is one the pool allows."""
    assert ReplicaSpec(economics(**bounds), at_least=at_least).wish(wished, "").replicas == kept


def test_count_is_its_own_word() -> None:
    """Before the first wish the count is what was seen, afterwards what was wished, and the rest is pending."""
    spec = ReplicaSpec(economics())
    assert spec.replicas(seen(ready=2, starting=1)) == 3
    spec.wish(6, "")
    assert spec.replicas(seen(ready=2, starting=1)) == 6
    assert spec.pending(seen(ready=2)) == 4
    assert spec.pending(seen(ready=8)) == 0


@pytest.mark.parametrize(("replicas", "rounded"), [(2.0, 2), (2.0000000001, 2), (2.001, 3), (0.0, 0)])
def test_rounding_up_bears_the_last_bit(replicas: float, rounded: int) -> None:
    """Exactly n targets are n replicas, whatever the last bit of a sum says."""
    assert whole(replicas) == rounded


def test_window_lets_go() -> None:
    """A sample that is as old as the window is gone; an empty window shows nothing."""
    window = Window(30.0)
    assert (window.mean, window.highest, window.lowest) == (0.0, 0.0, 0.0)
    for now_s, value in ((0.0, 9.0), (10.0, 1.0), (30.0, 3.0)):
        window.add(value, now_s)
    assert (window.mean, window.highest, window.lowest) == (2.0, 3.0, 1.0)


def test_agreement_counts_one_direction() -> None:
    """Steps and time count from the step at which the direction changed, and anew after a reset."""
    agreement = Agreement()
    assert [agreement.lasting_s(1, now_s) for now_s in (0.0, 10.0, 20.0)] == [0.0, 10.0, 20.0]
    assert agreement.steps == 3
    assert agreement.lasting_s(-1, 30.0) == 0.0
    agreement.reset()
    assert agreement.lasting_s(-1, 40.0) == 0.0
    assert [direction(3, 2), direction(2, 3), direction(2, 2)] == [1, -1, 0]
