"""The whole surface of the official clients, sync and async, that the gateway has an answer to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel, ConfigDict

from tests.e2e.sdk_talks import CITY
from tests.e2e.stack import Stack

OWN = "llama-8b"
CLAUDE = "claude-sonnet-5-5"
USER: list[Any] = [{"role": "user", "content": "Hi"}]
USE: list[Any] = [{"role": "user", "content": "Please use the tool."}]
FUNCTION: Any = {"type": "function", "function": {"name": "look", "parameters": CITY, "strict": True}}
PLAIN_FUNCTION: Any = {"type": "function", "name": "look", "parameters": CITY, "strict": True}


class Place(BaseModel):
    """What an answer must be."""

    model_config = ConfigDict(extra="forbid")
    city: str
    hour: int


@contextmanager
def clients(stack: Stack) -> Iterator[tuple[openai.OpenAI, anthropic.Anthropic]]:
    """Both; they come back when a starved machine makes the pool look ill for a moment."""
    root = stack.base_url.removesuffix("/v1")
    with (
        openai.OpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=3, timeout=30) as oai,
        anthropic.Anthropic(base_url=root, api_key=stack.key, max_retries=3, timeout=30) as ant,
    ):
        yield oai, ant


@asynccontextmanager
async def async_clients(stack: Stack) -> AsyncIterator[tuple[openai.AsyncOpenAI, anthropic.AsyncAnthropic]]:
    """The same for asyncio."""
    root = stack.base_url.removesuffix("/v1")
    async with (
        openai.AsyncOpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=3, timeout=30) as oai,
        anthropic.AsyncAnthropic(base_url=root, api_key=stack.key, max_retries=3, timeout=30) as ant,
    ):
        yield oai, ant


def test_chat(stack: Stack) -> None:
    """create, stream, its helper, parse, log probabilities, several choices."""
    with clients(stack) as (oai, _):
        chat = oai.chat.completions
        raw = chat.with_raw_response.create(model=OWN, messages=USER, max_tokens=4, n=2, logprobs=True, seed=7)
        answer = raw.parse()
        assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
        assert answer.choices[0].logprobs is not None
        assert raw.request_id == raw.headers["x-spillway-request-id"]
        chunks = list(chat.create(model=OWN, messages=USER, max_tokens=4, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        with chat.stream(model=OWN, messages=USE, tools=[FUNCTION]) as events:
            kinds = {event.type for event in events}
            call = events.get_final_completion().choices[0].message.tool_calls
        assert {"chunk", "tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
        assert call
        assert call[0].function.parsed_arguments == {"city": "simulated"}
        parsed = chat.parse(model=OWN, messages=USER, response_format=Place).choices[0].message.parsed
        assert parsed == Place(city="simulated", hour=1)


def test_chat_async(stack: Stack) -> None:
    """The same, and a schema that Anthropic enforces itself."""

    async def scene() -> None:
        async with async_clients(stack) as (oai, _):
            chat = oai.chat.completions
            answer, parsed = await asyncio.gather(
                chat.create(model=OWN, messages=USER, max_tokens=4),
                chat.parse(model=CLAUDE, messages=USER, response_format=Place),
            )
            assert answer.choices[0].message.content
            assert parsed.choices[0].message.parsed == Place(city="simulated", hour=1)
            async with chat.stream(model=OWN, messages=USE, tools=[FUNCTION]) as events:
                final = await events.get_final_completion()
            assert final.choices[0].finish_reason == "tool_calls"

    asyncio.run(scene())


def test_completions_embeddings_and_models(stack: Stack) -> None:
    """The rest of OpenAI's routes; every listed model can be looked up."""
    with clients(stack) as (oai, _):
        text = oai.completions.create(model=OWN, prompt="Once", max_tokens=4)
        assert text.choices[0].text
        pieces = [chunk.choices[0].text for chunk in oai.completions.create(
            model=OWN, prompt="Once", max_tokens=4, stream=True)]  # fmt: skip
        assert "".join(pieces) == text.choices[0].text
        made = oai.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        assert len(made.data) == 2
        assert made.usage.prompt_tokens > 0
        names = [model.id for model in oai.models.list()]
        assert {OWN, CLAUDE, "auto"} <= set(names)
        assert oai.models.retrieve(OWN).id == OWN


def test_responses(stack: Stack) -> None:
    """create, stream and its helper, parse; tools, and the turn after them."""
    with clients(stack) as (oai, _):
        raw = oai.responses.with_raw_response.create(model=OWN, input="Hi", max_output_tokens=4, store=False)
        answer = raw.parse()
        assert (answer.status, answer.incomplete_details is not None) == ("incomplete", True)
        assert raw.headers["x-spillway-target"] == OWN
        kinds = [event.type for event in oai.responses.create(model=OWN, input="Hi", max_output_tokens=4, stream=True)]
        assert kinds[:2] == ["response.created", "response.in_progress"]
        assert kinds[-1] == "response.incomplete"
        parsed = oai.responses.parse(model=CLAUDE, input="Hi", text_format=Place)
        assert parsed.output_parsed == Place(city="simulated", hour=1)
        with oai.responses.stream(model=OWN, input=USE, tools=[PLAIN_FUNCTION]) as events:
            for _ in events:
                pass
            final = events.get_final_response()
        call = final.output[0]
        assert call.type == "function_call"
        assert json.loads(call.arguments) == {"city": "simulated"}
        after: list[Any] = [
            *USE,
            *[item.model_dump(exclude={"parsed_arguments"}, exclude_none=True) for item in final.output],
            {"type": "function_call_output", "call_id": call.call_id, "output": "blue"},
        ]
        assert oai.responses.create(model=OWN, input=after, tools=[PLAIN_FUNCTION]).output_text


def test_responses_async(stack: Stack) -> None:
    """The same, with what was dropped named in the header."""

    async def scene() -> None:
        async with async_clients(stack) as (oai, _):
            raw = await oai.responses.with_raw_response.create(
                model=OWN, input="Hi", max_output_tokens=4, include=["reasoning.encrypted_content"]
            )
            assert raw.headers["x-spillway-dropped"] == "include.reasoning.encrypted_content"
            async with oai.responses.stream(model=OWN, input="Hi", text_format=Place) as events:
                final = await events.get_final_response()
            assert final.output_parsed == Place(city="simulated", hour=1)

    asyncio.run(scene())


def _counted(ant: anthropic.Anthropic, model: str) -> int:
    """Tokens as the target counts them; an estimate is what the gateway says while it has no target."""
    deadline = time.monotonic() + 15
    while True:
        raw = ant.messages.with_raw_response.count_tokens(model=model, messages=USER)
        if "x-spillway-estimated" not in raw.headers:
            return raw.parse().input_tokens
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_messages(stack: Stack) -> None:
    """create, stream and its helper, parse, tokens counted, the tool runner, models."""

    @anthropic.beta_tool
    def look(city: str) -> str:
        """Look at a city.

        Args:
            city: its name
        """
        return f"{city} is blue"

    with clients(stack) as (_, ant):
        raw = ant.messages.with_raw_response.create(model=OWN, messages=USER, max_tokens=4)
        answer = raw.parse()
        assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 4)
        assert raw.headers["request-id"] == raw.headers["x-spillway-request-id"]
        kinds = [event.type for event in ant.messages.create(model=OWN, messages=USER, max_tokens=4, stream=True)]
        assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
        with ant.messages.stream(model=OWN, messages=USER, max_tokens=4, system="Be brief.") as stream:
            assert "".join(stream.text_stream)
            assert stream.get_final_message().usage.input_tokens > 0
        for model in (OWN, CLAUDE):
            headers = {"x-spillway-spill": "never"} if model == OWN else {}
            used = ant.messages.create(model=model, messages=USER, max_tokens=1, extra_headers=headers).usage
            assert _counted(ant, model) == used.input_tokens
            parsed = ant.messages.parse(model=model, messages=USER, max_tokens=60, output_format=Place)
            assert parsed.parsed_output == Place(city="simulated", hour=1)
        turns = list(ant.beta.messages.tool_runner(model=OWN, max_tokens=60, messages=USE, tools=[look]))
        assert [turn.stop_reason == "tool_use" for turn in turns] == [True, False]
        assert {OWN, CLAUDE} <= {model.id for model in ant.models.list()}
        assert ant.models.retrieve(OWN).id == OWN


def test_messages_async(stack: Stack) -> None:
    """The same at Anthropic, whose own thinking passes."""

    async def scene() -> None:
        async with async_clients(stack) as (_, ant):
            answer = await ant.messages.create(
                model=CLAUDE, messages=USER, max_tokens=40, thinking={"type": "adaptive"}
            )
            assert [block.type for block in answer.content] == ["thinking", "text"]
            async with ant.messages.stream(model=OWN, messages=USER, max_tokens=4) as stream:
                assert [text async for text in stream.text_stream]

    asyncio.run(scene())


@pytest.mark.parametrize("model", [OWN, CLAUDE])
def test_usage_counts_what_was_cached(stack: Stack, model: str) -> None:
    """A long beginning seen before is told as cached, in each dialect's words."""
    long: list[Any] = [{"role": "user", "content": f"{model} " + "the same long beginning " * 400}]
    with clients(stack) as (oai, ant):
        headers = {"x-spillway-spill": "never"} if model == OWN else {}
        first = oai.chat.completions.create(model=model, messages=long, max_tokens=3, extra_headers=headers)
        second = oai.chat.completions.create(model=model, messages=long, max_tokens=3, extra_headers=headers)
        assert first.usage is not None
        assert second.usage is not None
        assert second.usage.prompt_tokens == first.usage.prompt_tokens
        assert second.usage.prompt_tokens_details is not None
        cached = second.usage.prompt_tokens_details.cached_tokens
        assert cached
        response = oai.responses.create(model=model, input=long, max_output_tokens=3, extra_headers=headers)
        assert response.usage is not None
        assert response.usage.input_tokens_details.cached_tokens == cached
        message = ant.messages.create(model=model, messages=long, max_tokens=3, extra_headers=headers)
        assert message.usage.cache_read_input_tokens == cached
        assert message.usage.input_tokens == second.usage.prompt_tokens - cached
