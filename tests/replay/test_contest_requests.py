"""The contest request by request: the same requests for all, O_replay as the limit, and what cannot be played."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.errors import SimulationError
from controller.replay.contest_field import course, entrant
from controller.replay.contest_requests import O_REPLAY, Replay, as_course, replay_of, replayed


def _replay(workload: str = "az23-conv", *, start_s: float = 0.0, duration_s: float = 120.0, most: int = 300) -> Replay:
    return replay_of(
        course(workload, "70b-4xa100", "frontier", 2),
        start_s=start_s,
        duration_s=duration_s,
        requests_most=most,
        seed=1,
    )


def test_policies_beside_the_replayed_optimum() -> None:
    """O_replay comes first and is the measure; the valve keeps the SLO, a plain form spills nothing."""
    replay = _replay()
    forms = [
        (entrant("spillway"), "valve", None),
        (entrant("static-best"), "valve", None),
        (entrant("hpa-rate"), "none", 0.9),
    ]
    result = replayed(replay, forms, seed=1)
    limit, ours, constant, plain = result.rows
    assert (result.workload, result.kind, result.seed) == ("az23-conv", "bursty", 1)
    assert result.requests == len(replay.requests.arrival_s) <= 300
    assert (limit.point, limit.score.usd_ratio) == (O_REPLAY, 1.0)
    assert limit.score.attained_ratio > 0.99 < ours.score.attained_ratio
    assert constant.point.policy == "static-best"
    assert (plain.point.gateway, plain.point.knob, plain.score.spilled_ratio) == ("none", 0.9, 0.0)
    for row in result.rows:
        assert row.score.usd_ratio / row.optimum_ratio == pytest.approx(1.0 / limit.optimum_ratio)
        assert row.fluid_optimum_ratio > 0.0 < row.fluid_attained_ratio <= 1.0
    both = as_course((result, replace(result, seed=2)))
    assert both.name == "az23-conv 70b-4xa100 frontier x2"
    assert [final.point.policy for final in both.finals] == ["spillway", "static-best", "hpa-rate"]
    assert both.finals[0].scores == (ours.score, ours.score)


def test_the_curve_is_that_of_the_requests() -> None:
    """Slot by slot, up to the last request that is played; the pool starts with what its first minute needs."""
    replay = _replay(most=100)
    assert len(replay.requests.arrival_s) == 100
    assert sum(replay.curve.rates_per_s) * replay.curve.slot_s == pytest.approx(100)
    assert replay.curve.duration_s - replay.requests.arrival_s[-1] <= replay.curve.slot_s
    assert replay.setup.replicas_at_start >= 1


def test_a_stretch_beyond_the_end_is_taken_from_the_start() -> None:
    """An hour has no fourth day."""
    assert _replay(start_s=300_000.0).requests == _replay().requests


def test_what_cannot_be_played() -> None:
    """No request at all, in the limit or in the stretch."""
    with pytest.raises(SimulationError, match="requests_most is 0; it must be an integer >= 1"):
        _replay(most=0)
    with pytest.raises(SimulationError, match="there is no request of zero-to-n"):
        _replay("zero-to-n", duration_s=30.0)
