"""A revoked key at two gateways on one database: refused within 5 s by both, and what it has open ends."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.faults import caller
from tests.faults.stub_scripts import answer
from tests.security.gateways import accepted, shared_gateways

REFUSED_WITHIN_S = 5.0
ENDED_WITHIN_S = 60.0
STREAM = answer(tokens=400, gap_s=0.1)  # 40 s


def test_revoke_is_known_everywhere_and_ends_what_is_open(tmp_path: Path) -> None:
    """New requests get 401 at both; open streams end with an error event; another tenant's stream goes on."""

    async def main() -> None:
        async with shared_gateways(tmp_path, 2, answer()) as scene:
            key, public_id = scene.new_key("acme")
            other, _ = scene.new_key("zoo")
            await accepted(scene, key)
            await accepted(scene, other)
            scene.stub.script, before = STREAM, len(scene.stub.calls)
            mine = [scene.asking(number, key, stream=True) for number in (0, 1)]
            theirs = scene.asking(1, other, stream=True)
            while sum(call.made_tokens > 0 for call in scene.stub.calls[before:]) < 3:
                await asyncio.sleep(0.05)
            scene.stub.script = answer()
            revoked_s = time.monotonic()
            assert scene.keys.revoke(public_id, now_s=time.time())
            for number in (0, 1):
                while (refused := await scene.ask(number, key)).status != 401:
                    assert time.monotonic() - revoked_s < REFUSED_WITHIN_S
                    await asyncio.sleep(0.1)
                assert refused.error["code"] == "invalid_api_key"
            for told in await asyncio.gather(*mine):
                assert told.ended_s - revoked_s < ENDED_WITHIN_S
                assert (told.status, told.end) == (200, caller.BROKEN)
                assert told.error["code"] == "invalid_api_key"
                assert told.content
            assert not theirs.done()
            assert (await scene.ask(1, other)).status == 200
            theirs.cancel()
            await asyncio.gather(theirs, return_exceptions=True)

    asyncio.run(main())
