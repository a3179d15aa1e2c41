"""A Messages caller at the whole gateway: own pools, providers of both dialects, refusals, token counts, models."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller.core.errors import EngineUnavailable
from tests.gateway.gateway_builders import KEY, SECRET
from tests.gateway.gateway_world import BEARER, COMPLETION, DONE, EVENT, LAST, USAGE, Heard, World, stream, whole
from tests.gateway.jumping_loop import jumping

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
ASKED: dict[str, Any] = {"model": "llama-8b", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
OWN_KEY = ((b"x-api-key", f"sp-{KEY.public_id}-{SECRET}".encode()), (b"anthropic-version", b"2023-06-01"))
MESSAGE = (
    b'{"id":"m1","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"Hi"}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":2}}'
)


def ask(world: World, path: str = MESSAGES, **fields: object) -> Heard:
    """What a Messages caller hears."""
    body = orjson.dumps({**ASKED, **fields})
    return jumping(world.send(body, path=path, headers=OWN_KEY))


def test_an_own_engine_answers() -> None:
    """In chat words, told as a message; the id where Anthropic's clients look for it."""
    world = World()
    world.own.script = [whole()]
    heard = ask(world)
    got = orjson.loads(heard.body)
    assert (heard.status, got["type"], got["content"]) == (200, "message", [{"type": "text", "text": "Hi"}])
    assert heard.headers["request-id"] == heard.headers["x-request-id"]
    sent = world.own.calls[0]
    assert sent.path == "/v1/chat/completions"
    assert orjson.loads(sent.body)["messages"] == ASKED["messages"]
    assert world.ledger.posted[0].usage.input_tokens == 7


def test_an_own_engine_streams() -> None:
    """Usage is asked for and told, in Anthropic's events."""
    world = World()
    world.own.script = [stream(EVENT, LAST, USAGE, DONE)]
    heard = ask(world, stream=True)
    assert orjson.loads(world.own.calls[0].body)["stream_options"] == {"include_usage": True}
    assert heard.ended
    assert heard.body.startswith(b"event: message_start\n")
    assert heard.body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert b'"output_tokens":2' in heard.body


def test_anthropic_gets_the_callers_own_words() -> None:
    """Native fields and all, for its own model; the answer passes as it is."""
    world = World()
    world.external.script = [whole(MESSAGE)]
    cached = [{"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral"}}]
    heard = ask(world, model="claude-sonnet-5-5", system=cached, service_tier="auto", unknown=1)
    assert heard.body == MESSAGE
    sent = orjson.loads(world.external.calls[0].body)
    assert (sent["system"], sent["service_tier"], "unknown" in sent) == (cached, "auto", False)
    assert sent["messages"] == ASKED["messages"]
    assert heard.headers["x-spillway-dropped"] == "unknown"


def test_what_is_dropped_is_named() -> None:
    """In a header, so that nobody wonders."""
    world = World()
    world.own.script = [whole()]
    heard = ask(world, thinking={"type": "enabled", "budget_tokens": 1024})
    assert heard.headers["x-spillway-dropped"] == "thinking"


def test_what_no_target_has_words_for() -> None:
    """400 in Anthropic's shape, naming it; nothing was called."""
    world = World()
    heard = ask(world, tools=[{"type": "web_search_20250305", "name": "web_search"}])
    error = orjson.loads(heard.body)
    assert heard.status == 400
    assert error["error"]["details"]["error_code"] == "not_translatable"
    assert "web_search" in error["error"]["message"]
    assert heard.headers["x-should-retry"] == "false"
    assert not world.own.calls
    assert not world.external.calls


def test_a_wrong_key_is_refused_in_anthropics_shape() -> None:
    """With the type that its clients raise on."""
    heard = jumping(World().send(orjson.dumps(ASKED), path=MESSAGES, headers=((b"x-api-key", b"sp-abc-wrong"),)))
    error = orjson.loads(heard.body)
    assert (heard.status, error["type"], error["error"]["type"]) == (401, "error", "authentication_error")
    assert error["request_id"] == heard.headers["request-id"]


def test_a_stream_that_breaks_ends_in_an_error_event() -> None:
    """Never in message_stop."""
    world = World()
    world.own.script = [stream(EVENT, EngineUnavailable("gone"))]
    heard = ask(world, stream=True)
    assert b"message_stop" not in heard.body
    assert heard.body.rpartition(b"event: error\ndata: ")[2].startswith(b'{"type":"error"')


@pytest.mark.parametrize(
    ("model", "answer", "path"),
    [("llama-8b", b'{"count":7}', "/tokenize"), ("claude-sonnet-5-5", b'{"input_tokens":7}', "/messages/count_tokens")],
)
def test_tokens_are_counted_by_the_target(model: str, answer: bytes, path: str) -> None:
    """Own engines tokenize, Anthropic counts."""
    world = World()
    world.own.script, world.external.script = [whole(answer)], [whole(answer)]
    heard = ask(world, COUNT, model=model)
    assert (heard.status, heard.body) == (200, b'{"input_tokens":7}')
    sent = (world.own.calls + world.external.calls)[0]
    assert sent.path == path
    assert b"max_tokens" not in sent.body
    assert world.ledger.posted[0].cost_nanousd == 0


@pytest.mark.parametrize("model", ["gpt-4o", "llama-8b"])
def test_where_nobody_counts_it_is_an_estimate(model: str) -> None:
    """And the answer says so."""
    world = World()
    world.own.script = [EngineUnavailable("gone"), EngineUnavailable("gone")]
    heard = ask(world, COUNT, model=model)
    assert heard.status == 200
    assert heard.headers["x-spillway-estimated"] == "true"
    assert orjson.loads(heard.body)["input_tokens"] >= 1


@pytest.mark.parametrize("answer", [b"x", b"[]", b'{"count":"7"}'])
def test_a_count_that_is_none(answer: bytes) -> None:
    """Counts as a failure of the engine: the estimate answers."""
    world = World()
    world.own.script = [whole(answer), whole(answer)]
    assert ask(world, COUNT).headers["x-spillway-estimated"] == "true"


def test_a_wrong_question_is_no_estimate() -> None:
    """An unknown model is 404, as for answers."""
    heard = ask(World(), COUNT, model="no-such-model")
    assert (heard.status, orjson.loads(heard.body)["error"]["type"]) == (404, "not_found_error")


def test_models_in_anthropics_shape() -> None:
    """For callers that speak it, listed and single."""
    world = World()
    listed = jumping(world.send(b"", path="/v1/models", method="GET", headers=OWN_KEY))
    names = [card["id"] for card in orjson.loads(listed.body)["data"]]
    assert "llama-8b" in names
    assert orjson.loads(listed.body)["last_id"] == names[-1]
    single = jumping(world.send(b"", path="/v1/models/llama-8b", method="GET", headers=OWN_KEY))
    assert orjson.loads(single.body)["type"] == "model"
    missing = jumping(world.send(b"", path="/v1/models/none", method="GET", headers=OWN_KEY))
    assert orjson.loads(missing.body)["error"]["type"] == "not_found_error"


def test_a_bearer_does_as_well() -> None:
    """Claude Code may send its key so."""
    world = World()
    world.own.script = [whole(COMPLETION)]
    assert jumping(world.send(orjson.dumps(ASKED), path=MESSAGES, headers=(BEARER,))).status == 200
