"""The loop's lag is sampled while nothing else happens, and shows what blocks the loop."""

from __future__ import annotations

import asyncio
import time

from controller.gateway.loop_lag import EVERY_S, LoopLag
from controller.telemetry.gateway_metrics import GatewayMetrics, Histogram, registry_of, render


def test_a_blocked_loop_shows_as_lag() -> None:
    """Two blocks make two high samples, of which the loop computed one; none comes after the stop."""

    async def scene() -> tuple[Histogram, Histogram]:
        lag, computed = Histogram((0.05, 0.15, 1.0)), Histogram((0.05, 0.15, 1.0))
        sampler = LoopLag(lag, computed)
        sampler.start()
        await asyncio.sleep(EVERY_S * 2.5)
        time.sleep(EVERY_S * 3)  # a wait: it covers the sample that is due in half an interval
        await asyncio.sleep(EVERY_S / 2)
        end_s = time.thread_time() + EVERY_S * 3
        while time.thread_time() < end_s:  # work: the same
            pass
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        sampler.stop()
        seen = sum(lag.counts)
        await asyncio.sleep(EVERY_S * 2)
        assert sum(lag.counts) == seen
        return lag, computed

    lag, computed = asyncio.run(scene())
    assert lag.counts[2] + lag.counts[3] >= 2
    assert computed.counts[2] + computed.counts[3] == 1


def test_lag_and_tasks_stand_in_the_metrics() -> None:
    """Both are there for a scrape."""
    metrics = GatewayMetrics()
    metrics.tasks = lambda: 7
    metrics.loop_lag.observe(0.3)
    text = render(registry_of(metrics)).decode()
    assert "spillway_tasks 7.0" in text
    assert 'spillway_loop_lag_seconds_bucket{le="0.2"} 0.0' in text
    assert 'spillway_loop_lag_seconds_bucket{le="0.5"} 1.0' in text
