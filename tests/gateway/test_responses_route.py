"""A Responses caller at the whole gateway: own pools, providers of both dialects, refusals, streams that break."""

from __future__ import annotations

from typing import Any

import orjson

from controller.core.errors import EngineUnavailable
from tests.gateway.gateway_world import BEARER, DONE, EVENT, LAST, USAGE, Heard, World, stream, whole
from tests.gateway.jumping_loop import jumping

ASKED: dict[str, Any] = {"model": "llama-8b", "input": "Hi"}
MESSAGE = (
    b'{"id":"m1","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"Hi"}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":2}}'
)


def ask(world: World, **fields: object) -> Heard:
    """What a Responses caller hears."""
    return jumping(world.send(orjson.dumps({**ASKED, **fields}), path="/v1/responses", headers=(BEARER,)))


def test_an_own_engine_answers() -> None:
    """In chat words, told as a response that names who answered; the books are as for chat."""
    world = World()
    world.own.script = [whole()]
    heard = ask(world)
    got = orjson.loads(heard.body)
    assert (heard.status, got["object"], got["model"], got["status"]) == (200, "response", "m", "completed")
    assert world.own.calls[0].path == "/v1/chat/completions"
    assert orjson.loads(world.own.calls[0].body)["messages"] == [{"role": "user", "content": "Hi"}]
    assert world.ledger.posted[0].usage.input_tokens == 7
    assert "x-spillway-dropped" not in heard.headers


def test_a_provider_of_chat_answers() -> None:
    """What went nowhere is named, at OpenAI too: every target is asked in chat words."""
    world = World()
    world.external.script = [whole()]
    heard = ask(world, model="gpt-4o", include=["reasoning.encrypted_content"])
    assert orjson.loads(heard.body)["object"] == "response"
    assert heard.headers["x-spillway-dropped"] == "include.reasoning.encrypted_content"


def test_anthropic_answers() -> None:
    """In its words, told as a response."""
    world = World()
    world.external.script = [whole(MESSAGE)]
    heard = ask(world, model="claude-3-5-sonnet", max_output_tokens=20)
    assert orjson.loads(heard.body)["output"][0]["content"][0]["text"] == "Hi"
    assert orjson.loads(world.external.calls[0].body)["max_tokens"] == 20


def test_an_own_engine_streams() -> None:
    """From `response.created` to `response.completed`, with usage and without [DONE]."""
    world = World()
    world.own.script = [stream(EVENT, LAST, USAGE, DONE)]
    heard = ask(world, stream=True)
    assert orjson.loads(world.own.calls[0].body)["stream_options"] == {"include_usage": True}
    assert heard.ended
    assert heard.body.startswith(b"event: response.created\n")
    assert b"event: response.completed\n" in heard.body
    assert b'"output_tokens":2' in heard.body
    assert b"[DONE]" not in heard.body


def test_a_stream_that_breaks() -> None:
    """Ends in an error and the failed response, numbered on."""
    world = World()
    world.own.script = [stream(EVENT, EngineUnavailable("gone"))]
    heard = ask(world, stream=True)
    blocks = heard.body.split(b"\n\n")[:-1]
    documents = [orjson.loads(block.split(b"data: ")[1]) for block in blocks]
    assert [document["type"] for document in documents[-2:]] == ["error", "response.failed"]
    assert [document["sequence_number"] for document in documents] == list(range(len(documents)))
    assert documents[0]["response"]["id"] == documents[-1]["response"]["id"]


def test_a_refusal() -> None:
    """In OpenAI's shape, with the field's name and what to do instead."""
    heard = ask(World(), previous_response_id="resp_1")
    assert (heard.status, heard.error["param"]) == (400, "previous_response_id")
    assert heard.headers["x-should-retry"] == "false"
    assert "whole conversation" in str(heard.error["message"])
