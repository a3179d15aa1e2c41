"""What happens to answers under way when their key is revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from controller.core.keys import KeyRecord, key_digest
from tests.gateway.gateway_builders import KEY, PEPPER, MemoryKeys
from tests.gateway.gateway_world import BEARER, EVENT, Answer, Heard, World, stream, whole
from tests.gateway.jumping_loop import jumping

OTHER = replace(KEY, public_id="other", tenant="zoo", digest=key_digest(PEPPER, "else"))
OTHER_BEARER = (b"authorization", b"Bearer sp-other-else")
REVOKE_S = 10.0
ANTHROPIC = (b"anthropic-version", b"2023-06-01")


@dataclass
class ChangingKeys(MemoryKeys):
    """Two keys, of which the first may be revoked."""

    def __post_init__(self) -> None:
        """Both are good."""
        self.now: dict[str, KeyRecord] = {KEY.public_id: KEY, OTHER.public_id: OTHER}
        self.records = self.now

    def revoke(self) -> None:
        """As a snapshot learns of it."""
        self.now[KEY.public_id] = replace(KEY, revoked_at_s=1.0)
        self.revision += 1


def told(
    script: Sequence[Answer],
    *asked: dict[str, object],
    headers: Sequence[tuple[bytes, bytes]] = (BEARER,),
    revoke_s: float = REVOKE_S,
) -> tuple[World, list[Heard]]:
    """What callers heard, the first of whom has its key revoked after a while; each request a second later."""
    keys = ChangingKeys()
    world = World(keys=keys)
    world.own.script = list(script)

    async def one(number: int, options: dict[str, object]) -> Heard:
        await asyncio.sleep(0.01 * number)
        path = options.pop("path", "/v1/chat/completions")
        bearer = options.pop("headers", headers)
        return await world.ask(options, path=path, headers=bearer)

    async def main() -> list[Heard]:
        watch = asyncio.create_task(world.gateway.open_answers.watch())
        asyncio.get_running_loop().call_later(revoke_s, keys.revoke)
        heard = await asyncio.gather(*(one(number, options) for number, options in enumerate(asked)))
        watch.cancel()
        return list(heard)

    return world, jumping(main())


def endless() -> Answer:
    """A stream that goes on for minutes."""
    return stream(*[EVENT, 0.5] * 100)


def test_an_open_stream_ends_with_an_error_event() -> None:
    """Within a second or two of the revocation; what was said before is written down and billed."""
    answer = endless()
    world, (heard,) = told([answer], {"stream": True})
    assert heard.status == 200
    assert heard.body.count(EVENT.strip()) >= 19
    last = heard.body.strip().rsplit(b"\n\n", 1)[1]
    assert b'"code":"invalid_api_key"' in last
    assert b"revoked" in last
    assert (heard.ended, answer.closed) == (True, [False])
    assert REVOKE_S <= heard.took_s <= REVOKE_S + 2
    (entry,) = world.ledger.posted
    assert (entry.status, entry.error, entry.usage.output_tokens >= 19) == (200, "this API key has been revoked", True)
    assert [attempt.outcome for attempt in entry.attempts] == ["key revoked"]


def test_in_the_callers_dialect() -> None:
    """Anthropic's error event."""
    _, (heard,) = told(
        [endless()],
        {"stream": True, "path": "/v1/messages", "max_tokens": 1000},
        headers=((b"x-api-key", BEARER[1].removeprefix(b"Bearer ")), ANTHROPIC),
    )
    assert heard.body.strip().rsplit(b"\n\n", 1)[1].startswith(b"event: error\n")
    assert b"authentication_error" in heard.body


@pytest.mark.parametrize("script", [[whole(head_after_s=30.0)], [stream(30.0, EVENT)]], ids=["whole", "stream"])
def test_an_answer_that_has_not_begun_is_refused(script: list[Answer]) -> None:
    """401, and nobody else is tried."""
    world, (heard,) = told(script, {"stream": script[0].headers != {}}, revoke_s=1.0)
    assert (heard.status, heard.error["code"]) == (401, "invalid_api_key")
    assert 1.0 <= heard.took_s <= 3.0
    assert (len(world.own.calls), len(world.external.calls)) == (1, 0)


def test_others_go_on() -> None:
    """Only the key that was revoked."""
    calm = stream(*[EVENT, 1.0] * 20, b"data: [DONE]\n\n")
    _, (mine, theirs) = told([endless(), calm], {"stream": True}, {"stream": True, "headers": (OTHER_BEARER,)})
    assert b"revoked" in mine.body
    assert theirs.body.endswith(b"data: [DONE]\n\n")
    assert theirs.took_s == pytest.approx(20.0)


def test_a_new_request_is_refused() -> None:
    """As any wrong key is."""
    keys = ChangingKeys()
    keys.revoke()
    heard = World(keys=keys).heard()
    assert (heard.status, "revoked" in str(heard.error["message"])) == (401, False)
