"""What the bench makes of what it measured."""

from __future__ import annotations

import pytest

from tests.bench.figures import with_ratios
from tests.bench.soak import theil_sen


def test_one_jump_and_one_outlier_do_not_move_the_slope() -> None:
    """Flat memory with a step at its start and one spike is flat; steady growth is seen through the same spike."""
    flat = [(0.0, 90.0), *((float(at), 100.0) for at in range(1, 40)), (40.0, 500.0)]
    assert theil_sen(flat) == 0.0
    growing = [*((float(at), 100.0 + 0.5 * at) for at in range(40)), (40.0, 500.0)]
    assert theil_sen(growing) == pytest.approx(0.5)


def test_the_gateway_is_compared_with_each_peer_that_was_measured() -> None:
    """A peer that was not there gives no ratio."""
    found = with_ratios({"spillway": {"unary_per_s": 4_000.0}, "vllm-router": {"unary_per_s": 5_000.0}})
    assert found["spillway"]["times_vllm_router"] == pytest.approx(0.8)
    assert "times_litellm" not in found["spillway"]
