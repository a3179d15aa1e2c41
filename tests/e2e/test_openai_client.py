"""The official OpenAI client against the whole running system."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest

from tests.e2e.stack import Stack, eventually

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SIMPLE = {"x-spillway-complexity": "simple"}


def _ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_unary_answer_names_the_model_that_served(stack: Stack) -> None:
    """A simple request in phase 3 is served by the own 8B pool, and header, body and usage say so."""
    raw = stack.client().chat.completions.with_raw_response.create(
        model="auto", messages=_ask("Name three colours."), max_tokens=16, extra_headers=SIMPLE
    )
    answer = raw.parse()
    assert raw.headers["x-spillway-target"] == "llama-8b"
    assert raw.headers["x-spillway-model"] == "llama-8b-self"
    assert raw.headers["x-request-id"] == raw.headers["x-spillway-request-id"]
    assert raw.headers["x-spillway-requested-model"] == "auto"
    assert int(raw.headers["x-spillway-attempts"]) == 1
    assert answer.model == "llama-3.1-8b-instruct"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 16


def test_stream_hides_usage_unless_asked(stack: Stack) -> None:
    """Chunks arrive one by one; usage shows only for the caller who asked for it."""
    plain = list(
        stack.client().chat.completions.create(model="llama-8b", messages=_ask("Count."), max_tokens=8, stream=True)
    )
    asked = list(
        stack.client().chat.completions.create(
            model="llama-8b", messages=_ask("Count."), max_tokens=8, stream=True, stream_options={"include_usage": True}
        )
    )
    assert all(chunk.usage is None for chunk in plain)
    assert all(chunk.choices for chunk in plain)
    assert asked[-1].usage is not None
    assert asked[-1].usage.completion_tokens == 8
    assert sum(1 for chunk in plain if chunk.choices[0].delta.content) > 1


def test_external_openai_shape_passes_through(stack: Stack) -> None:
    """A model by name of an OpenAI-shaped provider is answered by the stand-in and labelled as simulated."""
    raw = stack.client().chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=_ask("Hi"), max_tokens=5
    )
    assert raw.headers["x-spillway-target"] == "openai"
    assert float(raw.headers["x-spillway-cost-usd"]) > 0
    assert raw.parse().usage is not None


def test_anthropic_is_translated(stack: Stack) -> None:
    """An Anthropic model answers in OpenAI's shape, unary and streamed, with usage."""
    client = stack.client()
    unary = client.chat.completions.with_raw_response.create(
        model="claude-3-5-sonnet",
        messages=[{"role": "system", "content": "Be brief."}, *_ask("Hi")],
        max_tokens=6,
    )
    assert unary.headers["x-spillway-target"] == "anthropic"
    answer = unary.parse()
    assert answer.object == "chat.completion"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    chunks = list(
        client.chat.completions.create(
            model="claude-3-5-sonnet",
            messages=_ask("Hi"),
            max_tokens=6,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage is not None
    assert any(chunk.choices and chunk.choices[0].finish_reason for chunk in chunks)


@pytest.mark.parametrize("model", ["llama-8b", "gpt-4o-mini", "claude-3-5-sonnet"])
def test_tools_come_back_as_tool_calls(stack: Stack, model: str) -> None:
    """A required tool is called with JSON arguments, whoever serves."""
    answer = stack.client().chat.completions.create(
        model=model,
        messages=_ask("Weather in Oslo?"),
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        max_tokens=64,
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].function.name == "get_weather"
    assert calls[0].function.arguments.startswith("{")


def test_images_go_to_a_vision_model(stack: Stack) -> None:
    """An image in the messages routes `auto` to gpt-4o (or its replacement), never to a text-only pool."""
    raw = stack.client().chat.completions.with_raw_response.create(
        model="auto",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": PIXEL}},
                ],
            }
        ],
        max_tokens=5,
    )
    assert raw.headers["x-spillway-target"] in {"openai", "anthropic"}


def test_embeddings_and_completions_and_models(stack: Stack) -> None:
    """The other three routes answer in the shapes the client parses."""
    client = stack.client()
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert len(vectors.data) == 2
    assert len(vectors.data[0].embedding) > 8
    text = client.completions.create(model="llama-8b", prompt="Once", max_tokens=4)
    assert text.choices[0].text
    ids = {model.id for model in client.models.list()}
    assert {"auto", "llama-8b", "gpt-4o-mini", "llama-8b-self"} <= ids


def test_async_client_in_parallel(stack: Stack) -> None:
    """Twenty concurrent requests all answer, and in-flight returns to zero."""

    async def ask_all() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=0) as client:
            answers = await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model="auto", messages=_ask(f"Say {n}"), max_tokens=8, extra_headers=SIMPLE
                    )
                    for n in range(20)
                )
            )
        return [answer.choices[0].message.content for answer in answers]

    assert all(asyncio.run(ask_all()))
    eventually(lambda: stack.gateway_metric("spillway_in_flight") == 0, within_s=3)


def test_errors_are_the_sdk_types(stack: Stack) -> None:
    """Each refusal raises the SDK's own exception, with a request id."""
    with pytest.raises(openai.AuthenticationError) as refused:
        stack.client(api_key="sp-nobody-0000").models.list()
    assert refused.value.request_id
    with pytest.raises(openai.NotFoundError) as unknown:
        stack.client().chat.completions.create(model="gpt-9-nano", messages=_ask("Hi"))
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        stack.client().chat.completions.create(
            model="auto", messages=_ask("Hi"), extra_headers={"x-spillway-task": "juggling"}
        )
    assert wrong.value.code == "unknown_task"
    assert wrong.value.response.headers["x-spillway-error-source"] == "gateway"


def test_client_timeout_frees_the_upstream(stack: Stack) -> None:
    """A caller who gives up after 300 ms, or is told just before that it will, leaves nothing in flight."""
    with pytest.raises((openai.APITimeoutError, openai.InternalServerError)):
        stack.client(timeout=httpx.Timeout(0.3)).chat.completions.create(
            model="llama-70b", messages=_ask("Tell a long story."), max_tokens=400
        )
    eventually(lambda: stack.gateway_metric("spillway_in_flight") == 0, within_s=2)


def test_spill_never_stays_on_own_gpus(stack: Stack) -> None:
    """`x-spillway-spill: never` forbids the external tier for one request."""
    raw = stack.client().chat.completions.with_raw_response.create(
        model="llama-8b", messages=_ask("Hi"), max_tokens=4, extra_headers={"x-spillway-spill": "never"}
    )
    assert raw.headers["x-spillway-target"] == "llama-8b"
    with pytest.raises(openai.BadRequestError):
        stack.client().chat.completions.create(
            model="gpt-4o-mini", messages=_ask("Hi"), extra_headers={"x-spillway-spill": "never"}
        )
