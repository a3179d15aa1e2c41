"""Predictions get better as replicas are seen at work: measured on the engine model, in virtual time."""

from __future__ import annotations

from statistics import median

import pytest

from controller.core.models import StepTimes
from tests.gateway.engine_run import Seen, run, slower
from tests.routing.builders import STEPS

SETTLED_S = 60.0


def error_ratio(seen: list[Seen]) -> float:
    """Median of |predicted - seen| / seen, once a minute has passed."""
    return median(request.error_s / request.ttft_s for request in seen if request.at_s > SETTLED_S)


@pytest.mark.parametrize(
    ("rate_per_s", "table", "before", "after"),
    [
        pytest.param(0.5, STEPS, 0.53, 0.10, id="half idle"),  # measured 0.534 and 0.069
        pytest.param(1.5, STEPS, 0.54, 0.15, id="long queue"),  # measured 0.54 and 0.125
        pytest.param(1.5, None, 0.91, 0.12, id="never measured"),  # measured 0.91 and 0.088
    ],
)
def test_an_engine_half_as_fast_as_its_table(
    rate_per_s: float, table: StepTimes | None, before: float, after: float
) -> None:
    """The median error falls from half of the TTFT and more to an eighth and less."""
    real = slower(STEPS, 2.0)
    fixed, _ = run(real, table, rate_per_s=rate_per_s, seconds=200.0, learns=False)
    learned, _ = run(real, table, rate_per_s=rate_per_s, seconds=200.0)
    assert error_ratio(fixed) == pytest.approx(before, abs=0.03)
    assert error_ratio(learned) < after


def test_an_engine_as_fast_as_its_table() -> None:
    """Learning from noise does no harm."""
    fixed, _ = run(STEPS, STEPS, rate_per_s=1.5, seconds=200.0, learns=False)
    learned, load = run(STEPS, STEPS, rate_per_s=1.5, seconds=200.0)
    assert error_ratio(learned) <= error_ratio(fixed) + 0.02
    assert load.fit.prefill.factor == pytest.approx(1.0, abs=0.25)


def test_whole_answers_teach_too() -> None:
    """With nothing but unary requests, both factors come near to two; the length of answers is learned as well."""
    _, load = run(slower(STEPS, 2.0), STEPS, rate_per_s=0.5, seconds=200.0, streams=0.0)
    assert 1.3 < load.fit.decode.factor < 3.0
    assert load.lengths.remaining_tokens == pytest.approx(73, abs=10)  # E[L^2] / 2 E[L] of 20..200
    assert load.at(1e9).in_flight == 0
