"""What is no key, on the wire: refused alike, in either header, and the gateway goes on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from controller.core.keys import key_text
from tests.faults import caller
from tests.faults.stub_scripts import answer
from tests.security.gateways import accepted, shared_gateways

BODY = b'{"model": "llama-8b", "messages": [{"role": "user", "content": "Hi"}]}'
KEYS = {
    "quotes": b"' OR 1=1 --",
    "double quotes": b'sp-abc-"; DROP TABLE api_key; --',
    "no prefix": b"sk-0123456789ab-" + b"0" * 64,
    "an unknown id": b"sp-0123456789ab-" + b"0" * 64,
    "wrong check digits": key_text("0123456789ab", "0" * 64).encode()[:-1] + b"x",
    "right check digits": key_text("0123456789ab", "0" * 64).encode(),
    "long": b"sp-" + b"a" * 30_000,
    "not ASCII": b"sp-\xc3\xa9-\xff\xfe",
    "only dashes": b"----",
    "a tab": b"sp-0123456789ab\t-x",
}
NO_HTTP = {"NUL": (b"sp-\x00-\x00", 400), "a megabyte": (b"sp-abc-" + b"x" * 1_000_000, 431)}  # refused before any key


async def told(port: int, header: bytes) -> tuple[int, dict[str, object]]:
    """Status and error of a request with this header line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(BODY)
    heard = caller.Told(sent_s=0.0, stream=False)
    try:
        writer.write(head + header + b"\r\n\r\n" + BODY)
        async with asyncio.timeout(10):
            await caller.listen(reader, heard)
    finally:
        writer.close()
    return heard.status, dict(json.loads(heard.body)["error"]) if heard.status != 200 else {}


def test_what_is_no_key_is_refused_alike(tmp_path: Path) -> None:
    """401 with the very same body for each; what HTTP forbids is refused before; a good key stays good."""

    async def main() -> None:
        async with shared_gateways(tmp_path, 1, answer()) as scene:
            key, public_id = scene.new_key("acme")
            await accepted(scene, key)
            port = scene.gateways[0].port
            refusals = {"wrong secret": await told(port, b"authorization: Bearer sp-%b-x" % public_id.encode())}
            for name, text in KEYS.items():
                refusals[name] = await told(port, b"authorization: Bearer " + text)
                refusals[f"{name}, as x-api-key"] = await told(port, b"x-api-key: " + text)
                refusals[f"{name}, as Basic"] = await told(port, b"authorization: Basic " + text)
            assert {status for status, _ in refusals.values()} == {401}
            assert len({str(sorted(error.items())) for _, error in refusals.values()}) == 1, refusals
            for text, status in NO_HTTP.values():
                assert (await told(port, b"authorization: Bearer " + text))[0] == status
            assert (await told(port, b"x-api-key: " + key.encode()))[0] == 200
            assert (await told(port, b"authorization: Bearer " + key.encode()))[0] == 200

    asyncio.run(main())
