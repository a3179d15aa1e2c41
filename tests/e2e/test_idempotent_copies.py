"""Copies of a request over real sockets: one call at the provider, one row in the ledger, one answer."""

from __future__ import annotations

import asyncio
from collections import Counter

import openai
import pytest
from openai.types.chat import ChatCompletion

from controller.adapters.ledger_reader import open_reader
from tests.e2e.stack import Stack, eventually

REPLAY = "x-spillway-idempotent-replay"


def _rows(stack: Stack, request_id: str) -> int:
    reader = open_reader(stack.state_dir / "spillway.db")
    try:
        return sum(entry.request_id == request_id for entry in reader.recent(1_000))
    finally:
        reader.close()


def _provider_calls(stack: Stack) -> Counter[str]:
    return Counter({model: counts["requests"] for model, counts in stack.standin_usage().items()})


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_ten_copies_and_a_late_one(stack: Stack, streamed: bool) -> None:
    """The official client sends the same key ten times at once and once more; the provider hears of one."""
    before = _provider_calls(stack)

    async def ask(client: openai.AsyncOpenAI) -> tuple[str, str, str | None]:
        async with client.chat.completions.with_streaming_response.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Copies"}], max_tokens=12, stream=streamed,
            extra_headers={"idempotency-key": f"copies {streamed}"},
        ) as answer:  # fmt: skip
            return await answer.text(), answer.headers["x-request-id"], answer.headers.get(REPLAY)

    async def run() -> list[tuple[str, str, str | None]]:
        async with openai.AsyncOpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=0) as client:
            copies = await asyncio.gather(*(ask(client) for _ in range(10)))
            return [*copies, await ask(client)]

    heard = asyncio.run(run())
    assert len({(text, request_id) for text, request_id, _ in heard}) == 1
    assert Counter(replay for _, _, replay in heard) == {"true": 10, None: 1}
    assert _provider_calls(stack) - before == {"gpt-4o-mini": 1}
    eventually(lambda: _rows(stack, heard[0][1]) == 1, within_s=3)


def test_another_body_is_the_sdk_s_own_error(stack: Stack) -> None:
    """422 is UnprocessableEntityError, with the code."""

    def ask(text: str) -> ChatCompletion:
        return stack.client().chat.completions.create(
            model="llama-8b", messages=[{"role": "user", "content": text}], max_tokens=2,
            extra_headers={"idempotency-key": "one key"},
        )  # fmt: skip

    assert ask("one").choices
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        ask("another")
    assert refused.value.code == "idempotency_key_reused"
