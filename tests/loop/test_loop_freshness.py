"""Whether an engine's figures are news."""

from __future__ import annotations

import pytest

from controller.core.samples import EngineMetrics
from controller.loop.freshness import STALE_S, STALE_SCRAPES, Standstill, standstill


def metrics(tokens_total: float | None, running: int = 1) -> EngineMetrics:
    """An engine with some work."""
    return EngineMetrics(running=running, waiting=0, kv_cache_usage_ratio=0.1, tokens_total=tokens_total)


def after(*seen: EngineMetrics, every_s: float = 1.0) -> bool:
    """Whether the last of these scrapes is an old story."""
    still: Standstill | None = None
    for number, one in enumerate(seen):
        still = standstill(one, still, number * every_s)
    return still is not None and still.is_stale((len(seen) - 1) * every_s)


@pytest.mark.parametrize(
    ("seen", "stale"),
    [
        pytest.param([metrics(7.0)] * STALE_SCRAPES, False, id="three scrapes"),
        pytest.param([metrics(7.0)] * (STALE_SCRAPES + 1), True, id="four scrapes"),
        pytest.param([metrics(7.0)] * 9 + [metrics(8.0)], False, id="tokens again"),
        pytest.param([metrics(7.0)] * 9 + [metrics(0.0)], False, id="started anew"),
        pytest.param([metrics(7.0, running=0)] * 9, False, id="idle"),
        pytest.param([metrics(None)] * 9, False, id="counts nothing"),
    ],
)
def test_work_without_tokens_is_no_news(seen: list[EngineMetrics], stale: bool) -> None:
    """Three scrapes may look the same, idle engines for ever; every token ends it, and so does a counter set back."""
    assert after(*seen) is stale


def test_quick_scrapes_need_their_time() -> None:
    """Twenty of them within 2 s are not enough; once 3 s have passed they are."""
    assert not after(*[metrics(7.0)] * 20, every_s=0.1)
    assert after(*[metrics(7.0)] * (1 + round(STALE_S / 0.1)), every_s=0.1)
