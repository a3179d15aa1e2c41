"""The stand-in provider as a process: both dialects, prices, limits, counts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import openai
import pytest

from controller.catalogue.load import load_catalogue
from controller.core.money import Usage, cost_nanousd
from tests.engine_sim.sim_servers import Server, running_provider

ASK = [{"role": "user", "content": "Hi"}]
CLAUDE = "claude-sonnet-5-5"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture(scope="module")
def standin() -> Iterator[Server]:
    """All external providers on one port."""
    with running_provider() as server:
        yield server


def _events(body: str) -> list[dict[str, object]]:
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-4o-mini"), ("groq", "llama-3.1-8b-instant"), ("together", "mistralai/Mixtral-8x7B-Instruct-v0.1")],
)
def test_openai_shaped_providers_answer_the_official_client(standin: Server, provider: str, model: str) -> None:
    """Unary and streamed, with usage, labelled as simulated."""
    client = standin.client(f"/{provider}/v1")
    raw = client.chat.completions.with_raw_response.create(model=model, messages=ASK, max_tokens=20)
    assert raw.headers["x-spillway-simulated"] == "true"
    answer = raw.parse()
    chunks = list(
        client.chat.completions.create(
            model=model, messages=ASK, max_tokens=20, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == answer.choices[0].message.content
    assert chunks[-1].usage == answer.usage
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 20


def test_every_external_model_of_the_catalogue_answers(standin: Server) -> None:
    """Each model id is listed under its provider."""
    catalogue = load_catalogue()
    for name in catalogue.providers:
        ids = {row["id"] for row in json.loads(_get_models(standin, name))["data"]}
        assert ids == {model.model_id for model in catalogue.models.values() if model.provider == name}


def _get_models(standin: Server, provider: str) -> str:
    raw = standin.client(f"/{provider}/v1").models.with_raw_response.list()
    return raw.text


def test_it_takes_as_long_as_the_provider(standin: Server) -> None:
    """OpenAI: 0.38 s to the first token, then 92 a second."""
    begun_s = time.monotonic()
    standin.client("/openai/v1").chat.completions.create(model="gpt-4o-mini", messages=ASK, max_tokens=16)
    assert 0.45 < time.monotonic() - begun_s < 1.2


def test_anthropic_messages(standin: Server) -> None:
    """A unary message has content, a stop reason and usage."""
    body = {"model": CLAUDE, "max_tokens": 7, "system": "Be brief.", "messages": ASK}
    status, _, text = standin.post("/anthropic/v1/messages", body, x_api_key="k")
    message = json.loads(text)
    assert status == 200
    assert message["type"] == "message"
    assert message["content"][0]["type"] == "text"
    assert message["stop_reason"] == "max_tokens"
    assert message["usage"]["output_tokens"] == 7


def test_anthropic_streams_its_events_in_order(standin: Server) -> None:
    """message_start ... message_stop, with the final count in message_delta."""
    body = {"model": CLAUDE, "max_tokens": 7, "messages": ASK, "stream": True}
    _, headers, text = standin.post("/anthropic/v1/messages", body, x_api_key="k")
    events = _events(text)
    kinds = [event["type"] for event in events]
    assert headers["content-type"].startswith("text/event-stream")
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[-2]["usage"] == {"output_tokens": 7}
    named = [line[7:] for line in text.splitlines() if line.startswith("event: ")]
    assert named == kinds


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_anthropic_thinks_and_calls_tools_at_once(standin: Server, stream: bool) -> None:
    """A thinking block, then a block for each call, one after the other."""
    tools = [{"name": name, "input_schema": WEATHER} for name in ("weather", "time")]
    every = [{"role": "user", "content": "Use every tool."}]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    body = {"model": CLAUDE, "max_tokens": 90, "messages": every, "stream": stream, "tools": tools}
    _, _, text = standin.post("/anthropic/v1/messages", {**body, "thinking": thinking}, x_api_key="k")
    if not stream:
        assert [block["type"] for block in json.loads(text)["content"]] == ["thinking", "tool_use", "tool_use"]
        return
    events = _events(text)
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]  # type: ignore[index]
    assert starts == ["thinking", "tool_use", "tool_use"]
    assert [event["index"] for event in events if event["type"] == "content_block_stop"] == [0, 1, 2]


def test_anthropic_names_the_stop_text(standin: Server) -> None:
    """stop_sequence, where one ended the answer."""
    body = {"model": CLAUDE, "max_tokens": 200, "messages": ASK, "stop_sequences": [" and", " is", " the"]}
    message = json.loads(standin.post("/anthropic/v1/messages", body, x_api_key="k")[2])
    assert message["stop_reason"] == "stop_sequence"
    assert message["stop_sequence"] in body["stop_sequences"]


def test_anthropic_counts_tokens_and_keeps_to_a_schema(standin: Server) -> None:
    """As many as a message is billed for; `output_config.format` gives JSON that fits."""
    ask = {"model": CLAUDE, "messages": ASK}
    counted = json.loads(standin.post("/anthropic/v1/messages/count_tokens", ask, x_api_key="k")[2])
    shape = {"format": {"type": "json_schema", "schema": WEATHER}}
    body = {**ask, "max_tokens": 60, "output_config": shape}
    message = json.loads(standin.post("/anthropic/v1/messages", body, x_api_key="k")[2])
    assert message["usage"]["input_tokens"] == counted["input_tokens"]
    assert json.loads(message["content"][0]["text"]) == {"city": "simulated"}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_anthropic_calls_a_tool(standin: Server, stream: bool) -> None:
    """tool_choice any gives a tool_use block whose input fits the schema."""
    body = {
        "model": CLAUDE, "max_tokens": 60, "messages": ASK, "stream": stream,
        "tools": [{"name": "weather", "input_schema": WEATHER}], "tool_choice": {"type": "any"},
    }  # fmt: skip
    _, _, text = standin.post("/anthropic/v1/messages", body, x_api_key="k")
    if stream:
        deltas = [event["delta"] for event in _events(text) if event["type"] == "content_block_delta"]
        arguments = json.loads("".join(str(delta["partial_json"]) for delta in deltas))  # type: ignore[index]
    else:
        arguments = json.loads(text)["content"][0]["input"]
    assert arguments == {"city": "simulated"}


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"model": CLAUDE, "messages": ASK}, 400, "invalid_request_error"),
        ({"model": CLAUDE, "max_tokens": 1, "messages": []}, 400, "invalid_request_error"),
        (
            {"model": CLAUDE, "max_tokens": 1, "messages": [{"role": "tool", "content": "x"}]},
            400,
            "invalid_request_error",
        ),
        ({"model": "nope", "max_tokens": 1, "messages": ASK}, 404, "not_found_error"),
    ],
    ids=["no limit", "no messages", "unknown role", "unknown model"],
)
def test_anthropic_refuses_in_its_own_shape(standin: Server, body: object, status: int, kind: str) -> None:
    """Error type by status, with a request id."""
    answered, _, text = standin.post("/anthropic/v1/messages", body, x_api_key="k")
    error = json.loads(text)
    assert answered == status
    assert error["type"] == "error"
    assert error["error"]["type"] == kind
    assert error["request_id"]


def test_an_empty_key_is_refused(standin: Server) -> None:
    """401 in both dialects."""
    assert standin.post("/openai/v1/chat/completions", {"model": "gpt-4o-mini", "messages": ASK})[0] == 401
    assert standin.post("/anthropic/v1/messages", {"model": CLAUDE, "messages": ASK})[0] == 401


def test_unknown_models_and_images_are_refused_as_openai_does(standin: Server) -> None:
    """404 with model_not_found; 400 for an image that the model cannot see."""
    client = standin.client("/openai/v1")
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-1", messages=ASK)
    assert unknown.value.code == "model_not_found"
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": image}])  # type: ignore[list-item]
    seen = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": image}], max_tokens=1)  # type: ignore[list-item]
    assert seen.usage is not None
    assert seen.usage.prompt_tokens > 800


def test_a_rate_limit_is_429_with_retry_after_in_both_dialects() -> None:
    """Six per minute allow one at once; the second is told when to come back."""
    with running_provider("--requests-per-min", "6") as standin:
        client = standin.client("/openai/v1")
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK, max_tokens=1)
        with pytest.raises(openai.RateLimitError) as limited:
            client.chat.completions.create(model="gpt-4o-mini", messages=ASK, max_tokens=1)
        assert limited.value.code == "rate_limit_exceeded"
        assert 1 <= float(limited.value.response.headers["retry-after"]) <= 10
        body = {"model": CLAUDE, "max_tokens": 1, "messages": ASK}
        assert standin.post("/anthropic/v1/messages", body, x_api_key="k")[0] == 200
        status, headers, text = standin.post("/anthropic/v1/messages", body, x_api_key="k")
        assert status == 429
        assert json.loads(text)["error"]["type"] == "rate_limit_error"
        assert float(headers["retry-after"]) >= 1


def test_its_own_count_has_tokens_and_cost_at_list_price() -> None:
    """Usage per model id equals what callers were told, and the cost is the catalogue's price of it."""
    with running_provider() as standin:
        answer = standin.client("/openai/v1").chat.completions.create(model="gpt-4o", messages=ASK, max_tokens=9)
        vectors = standin.client("/openai/v1").embeddings.create(model="text-embedding-3-small", input=["one", "two"])
        models = json.loads(standin.get("/standin/usage"))["models"]
    assert answer.usage is not None
    row = models["gpt-4o"]
    usage = Usage(input_tokens=answer.usage.prompt_tokens, output_tokens=9)
    assert (row["requests"], row["input_tokens"], row["output_tokens"]) == (1, usage.input_tokens, 9)
    assert row["cost_nanousd"] == cost_nanousd(load_catalogue().models["gpt-4o"].price, usage)
    assert models["text-embedding-3-small"]["input_tokens"] == vectors.usage.prompt_tokens
    assert len(vectors.data[0].embedding) == 256
    assert vectors.data[0].embedding != vectors.data[1].embedding


def test_a_long_prompt_seen_before_is_billed_as_cached(standin: Server) -> None:
    """From 1,024 tokens on, in steps of 128."""
    long = [{"role": "user", "content": "The same long text. " * 400}]
    client = standin.client("/openai/v1")
    usages = [
        client.chat.completions.create(model="gpt-4o", messages=long, max_tokens=1).usage  # type: ignore[arg-type]
        for _ in range(2)
    ]
    cached = [usage.prompt_tokens_details.cached_tokens for usage in usages if usage and usage.prompt_tokens_details]
    assert cached[0] == 0
    assert (cached[1] or 0) >= 1024


def test_failure_switches_work_here_too(standin: Server) -> None:
    """A 529 of Anthropic's, once."""
    standin.faults(mode="error", status=529, count=1)
    body = {"model": CLAUDE, "max_tokens": 1, "messages": ASK}
    status, _, text = standin.post("/anthropic/v1/messages", body, x_api_key="k")
    assert status == 529
    assert json.loads(text)["error"]["type"] == "overloaded_error"
    assert standin.post("/anthropic/v1/messages", body, x_api_key="k")[0] == 200
