"""Requests per minute over gateway processes that know nothing of each other but the database."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

from tests.faults.stub_scripts import answer
from tests.security.gateways import accepted, shared_gateways

LIMIT = 60
CHANGES = {"tenants": {"acme": {"requests_per_min": LIMIT}, "probe": {}}}


async def early_in_a_minute(least_left_s: float) -> None:
    """Returns when so much is left of the UTC minute."""
    left_s = 60 - time.time() % 60
    if left_s < least_left_s:
        await asyncio.sleep(left_s + 0.1)


def test_two_gateways_let_in_exactly_the_limit(tmp_path: Path) -> None:
    """Three times as many as allowed, at once and at both: each minute has its limit and not one more."""

    async def main() -> None:
        async with shared_gateways(tmp_path, 2, answer(), CHANGES) as scene:
            key, _ = scene.new_key("acme")
            probe, _ = scene.new_key("probe")
            await accepted(scene, probe)
            await asyncio.sleep(1.5)  # the keys were made together: both know this one too
            await early_in_a_minute(8.0)
            minute, left_s = divmod(time.time(), 60)
            left_s = 60 - left_s
            told = await asyncio.gather(*(scene.ask(number % 2, key) for number in range(3 * LIMIT)))
            assert time.time() // 60 == minute, "the machine is too slow for this test"
            assert Counter(one.status for one in told) == {200: LIMIT, 429: 2 * LIMIT}
            refused = next(one for one in told if one.status == 429)
            assert 1 <= int(refused.headers["retry-after"]) <= left_s + 1
            assert refused.headers["x-ratelimit-limit-requests"] == str(LIMIT)

    asyncio.run(main())
