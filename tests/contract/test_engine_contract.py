"""One contract, two servers: what the gateway and the controller rely on holds for the simulator and the real vLLM."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.contract.engines import ASK, CHAT, ask
from tests.engine_sim.sim_servers import Server, eventually, raw_chat

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"sunny": {"type": "boolean"}}, "required": ["sunny"]},
    },
}


def _events(body: str) -> list[dict[str, object]]:
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]


def test_the_model_is_listed_with_its_context(server: Server) -> None:
    """/v1/models names the served model and max_model_len."""
    row = json.loads(server.get("/v1/models"))["data"][0]
    assert row["id"] == server.model
    assert row["object"] == "model"
    assert row["max_model_len"] == 2048


def test_side_routes(server: Server) -> None:
    """/health is empty and 200, /load counts, /version has a version, /tokenize counts."""
    assert server.get("/health") == ""
    assert json.loads(server.get("/load"))["server_load"] >= 0
    assert json.loads(server.get("/version"))["version"].startswith("0.32.0")
    status, _, body = server.post("/tokenize", {"model": server.model, "prompt": "hello world"})
    document = json.loads(body)
    assert status == 200
    assert document["count"] == len(document["tokens"]) > 0
    assert document["max_model_len"] == 2048


def test_unary_chat(server: Server) -> None:
    """Shape, exact token count, finish reason, usage that adds up."""
    status, headers, body = server.post(CHAT, ask(server))
    answer = json.loads(body)
    choice = answer["choices"][0]
    assert (status, headers["content-type"]) == (200, "application/json")
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{16}", answer["id"])
    assert (answer["object"], answer["model"]) == ("chat.completion", server.model)
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "length", None)
    assert choice["message"]["role"] == "assistant"
    assert isinstance(choice["message"]["content"], str)
    assert not choice["message"].get("tool_calls")
    usage = answer["usage"]
    assert usage["completion_tokens"] == 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert answer["system_fingerprint"]


def test_the_request_id_becomes_the_answer_id(server: Server) -> None:
    """x-request-id is taken over."""
    _, _, body = server.post(CHAT, ask(server), x_request_id="abc-1")
    assert json.loads(body)["id"] == "chatcmpl-abc-1"


def test_streamed_chat(server: Server) -> None:
    """Role first, then content, one finish reason on the last choice event, usage in an event of its own, [DONE]."""
    _, headers, body = server.post(CHAT, ask(server, stream=True, stream_options={"include_usage": True}))
    events = _events(body)
    assert headers["content-type"].startswith("text/event-stream")
    assert body.rstrip().endswith("data: [DONE]")
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}  # type: ignore[index]
    reasons = [event["choices"][0]["finish_reason"] for event in events[:-1]]  # type: ignore[index]
    assert reasons[-1] == "length"
    assert set(reasons[:-1]) == {None}
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 8  # type: ignore[index]


def test_a_stream_has_no_usage_unless_asked(server: Server) -> None:
    """Without stream_options no event carries usage or an empty list of choices."""
    _, _, body = server.post(CHAT, ask(server, stream=True))
    events = _events(body)
    assert all(event["choices"] for event in events)
    assert not any(event.get("usage") for event in events)


def test_the_head_of_a_stream_comes_before_its_first_token(server: Server) -> None:
    """A status line is no sign of a token: it is there while others still keep the engine busy."""
    with raw_chat(server, stream=True, tokens=400) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    eventually(lambda: server.metric("vllm:num_requests_running") == 0, within_s=2)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_caller_who_leaves_frees_the_engine(server: Server, stream: bool) -> None:
    """Within a second nothing runs or waits any more."""
    connection = raw_chat(server, stream=stream, tokens=1900)
    eventually(lambda: server.metric("vllm:num_requests_running") == 1, within_s=5)
    connection.close()
    begun_s = time.monotonic()
    eventually(lambda: server.metric("vllm:num_requests_running") == 0, within_s=3)
    assert time.monotonic() - begun_s < 1.5  # the real server publishes its gauges once a second when idle


def test_choices(server: Server) -> None:
    """n=2 gives two choices; the prompt is counted once."""
    _, _, body = server.post(CHAT, ask(server, n=2))
    answer = json.loads(body)
    _, _, one = server.post(CHAT, ask(server))
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["usage"]["prompt_tokens"] == json.loads(one)["usage"]["prompt_tokens"]


def test_logprobs(server: Server) -> None:
    """One entry per token."""
    _, _, body = server.post(CHAT, ask(server, logprobs=True, top_logprobs=1))
    content = json.loads(body)["choices"][0]["logprobs"]["content"]
    assert len(content) == 8
    assert set(content[0]) == {"token", "logprob", "bytes", "top_logprobs"}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_text_completions(server: Server, stream: bool) -> None:
    """Several prompts in one request, 16 tokens each unless said."""
    body = {"model": server.model, "prompt": ["Once", "Twice"], "stream": stream, "ignore_eos": True}
    if stream:
        body["stream_options"] = {"include_usage": True}
    _, _, text = server.post("/v1/completions", body)
    documents = _events(text) if stream else [json.loads(text)]
    assert {document["object"] for document in documents} == {"text_completion"}
    assert documents[-1]["usage"]["completion_tokens"] == 32  # type: ignore[index]
    indexes = {choice["index"] for document in documents for choice in document["choices"]}  # type: ignore[attr-defined]
    assert indexes == {0, 1}
    assert str(documents[0]["id"]).startswith("cmpl-")


def test_token_ids_are_a_prompt_too(server: Server) -> None:
    """Three ids are three tokens."""
    body = {"model": server.model, "prompt": [5, 6, 7], "max_tokens": 2, "ignore_eos": True}
    assert json.loads(server.post("/v1/completions", body)[2])["usage"]["prompt_tokens"] == 3


def _call_a_tool(server: Server) -> Callable[[int], dict[str, Any]]:
    """Asks with a seed: the real server's random model does not end its arguments with every one."""
    fields = {"tools": [TOOL], "tool_choice": "required", "max_tokens": 200, "ignore_eos": False}
    return lambda seed: dict(json.loads(server.post(CHAT, ask(server, **fields, seed=seed))[2])["choices"][0])


def test_a_required_tool_is_called(server: Server) -> None:
    """finish_reason tool_calls, content empty, id and name there."""
    choice = next(filter(lambda choice: choice["message"].get("tool_calls"), map(_call_a_tool(server), range(8))))
    call = choice["message"]["tool_calls"][0]
    assert call["type"] == "function"
    assert call["function"]["name"] == "get_weather"
    assert call["id"]
    assert choice["finish_reason"] in ("tool_calls", "length")
    assert not choice["message"]["content"]


def test_a_streamed_tool_call_comes_in_pieces(server: Server) -> None:
    """The first piece has index, id, type and name; the rest joined are the arguments, in JSON: of which kind, the real
    server leaves to its model, and a random one may say null.
    """
    fields = {"tools": [TOOL], "tool_choice": "required", "max_tokens": 400, "ignore_eos": False, "stream": True}

    def called(seed: int) -> list[dict[str, Any]]:
        events = _events(server.post(CHAT, ask(server, **fields, seed=seed))[2])
        choices = [choice for event in events for choice in event["choices"]]  # type: ignore[attr-defined]
        calls = [call for choice in choices for call in choice["delta"].get("tool_calls") or ()]
        is_whole = choices[-1]["finish_reason"] == "tool_calls"
        return [call for call in calls if call["index"] == 0] if is_whole else []

    first, *rest = next(filter(lambda calls: len(calls) > 2, map(called, range(8))))
    assert first["id"]
    assert (first["type"], first["function"]["name"]) == ("function", "get_weather")
    json.loads("".join(call["function"].get("arguments") or "" for call in (first, *rest)))


def test_json_schema_output(server: Server) -> None:
    """A response_format schema gives JSON that fits it."""
    schema = {**TOOL["function"]["parameters"], "additionalProperties": False}  # type: ignore[index]
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    answer = json.loads(server.post(CHAT, ask(server, response_format=wanted, max_tokens=200, ignore_eos=False))[2])
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"])["sunny"], bool)


def test_an_answer_that_would_not_fit_is_shortened(server: Server) -> None:
    """max_tokens within the context but beyond what the prompt leaves is not refused."""
    answer = json.loads(server.post(CHAT, ask(server, max_tokens=2048))[2])
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == 2048


REFUSALS = {
    "unknown model": ({"model": "nope"}, 404, "NotFoundError", "model"),
    "wrong type": ({"max_tokens": "many"}, 400, "Bad Request", "body.max_tokens"),
    "zero tokens": ({"max_tokens": 0}, 400, "BadRequestError", "max_tokens"),
    "too many tokens": ({"max_tokens": 5000}, 400, "BadRequestError", "max_tokens"),
    "hot": ({"temperature": 9}, 400, "BadRequestError", "temperature"),
    "top_p": ({"top_p": 2}, 400, "BadRequestError", "top_p"),
    "no choices": ({"n": 0}, 400, "BadRequestError", None),
    "no messages": ({"messages": []}, 400, "BadRequestError", None),
    "messages as text": ({"messages": "hi"}, 400, "Bad Request", "body.messages"),
    "stream options": ({"stream_options": {"include_usage": True}}, 400, "BadRequestError", "stream_options"),
    "unknown tool": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}},
        400, "BadRequestError", "tool_choice",
    ),
    "long prompt": (
        {"messages": [{"role": "user", "content": "too long " * 1000}]}, 400, "BadRequestError", "input_tokens",
    ),
    "image": (
        {"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]},
        400, "BadRequestError", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(server: Server, name: str) -> None:
    """Status, type, param and the integer code of each refusal."""
    fields, status, kind, param = REFUSALS[name]
    answered, _, body = server.post(CHAT, ask(server, **fields))
    error = json.loads(body)["error"]
    assert (answered, error["type"], error["param"], error["code"]) == (status, kind, param, status)
    assert error["message"]


def test_broken_json(server: Server) -> None:
    """400 in the error shape."""
    status, _, body = server.post(CHAT, b"{bad")
    assert status == 400
    assert json.loads(body)["error"]["code"] == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", CHAT, 405), ("POST", "/v1/models", 405), ("GET", "/v1/nope", 404), ("POST", "/v1/embeddings", 404)],
)
def test_wrong_routes(server: Server, method: str, path: str, status: int) -> None:
    """405 for a wrong method; 404 for an unknown path and for embeddings of a chat model."""
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-type: application/json"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"{head}\r\n\r\n{{}}".encode())
        assert connection.recv(64).startswith(f"HTTP/1.1 {status} ".encode())


def test_the_official_client_reads_it(server: Server) -> None:
    """Unary, stream and errors through the openai package."""
    client = server.client()
    answer = client.chat.completions.create(model=server.model, messages=ASK, max_tokens=4)  # type: ignore[arg-type]
    assert answer.usage is not None
    assert 1 <= answer.usage.completion_tokens <= 4
    chunks = list(client.chat.completions.create(model=server.model, messages=ASK, max_tokens=4, stream=True))  # type: ignore[arg-type]
    assert chunks[-1].choices[0].finish_reason in ("length", "stop")
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nope", messages=ASK)  # type: ignore[arg-type]
