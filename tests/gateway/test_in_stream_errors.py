"""A provider that answers 200 and then sends an error event: first, and in the middle."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from controller.core.secret import Secret
from controller.gateway.exchange import Skip
from tests.gateway.gateway_builders import SetFleet, fleet
from tests.gateway.gateway_world import DONE, EVENT, LAST, SETTINGS, World, stream, whole
from tests.gateway.jumping_loop import jumping

OVERLOADED = b'data: {"error":{"message":"busy","type":"server_error","code":"server_is_overloaded"}}\n\n'


def away() -> World:
    """No own replica: the chain is external."""
    return World(feed=SetFleet(fleet()))


def test_an_error_event_first_goes_elsewhere() -> None:
    """The caller hears nothing of it; what was set aside for it is given back."""
    world = away()
    world.external.script = [stream(OVERLOADED), stream(EVENT, LAST, DONE)]
    heard = world.heard({"stream": True})
    assert (heard.status, heard.body, heard.headers["x-spillway-attempts"]) == (200, EVENT + LAST + DONE, "2")
    assert len({call.base_url for call in world.external.calls}) == 2
    assert world.ledger.reserved == {}


def test_an_error_event_in_the_middle_ends_the_stream() -> None:
    """With an error event and without [DONE]; what came is billed, and nobody else is asked."""
    world = away()
    world.external.script = [stream(EVENT, EVENT, OVERLOADED)]
    heard = world.heard({"stream": True})
    assert heard.status == 200
    assert heard.body.startswith(EVENT + EVENT + b'data: {"error":{')
    assert DONE not in heard.body
    assert len(world.external.calls) == 1
    entry = world.ledger.posted[0]
    assert entry.usage.output_tokens > 0
    assert entry.usage.estimated
    assert entry.cost_nanousd > 0


@pytest.mark.parametrize("before", [(), (EVENT,)], ids=["first", "middle"])
def test_error_events_count_against_the_provider(before: tuple[bytes, ...]) -> None:
    """Five of them, and it is left alone for a while."""
    world = away()
    provider = world.settings.providers["openai"]
    for _ in range(5):
        world.external.script = [stream(*before, OVERLOADED) for _ in range(5)]
        world.heard({"stream": True, "model": "gpt-4o"})
    found = world.gateway.credentials.pick(provider, 0, 100.0)
    assert isinstance(found, Skip)
    assert found.code == "breaker"


CANARY = "sk-canary"
HI = {"role": "user", "content": "Hi"}
ASKS: dict[str, tuple[str, dict[str, object]]] = {
    "chat": ("/v1/chat/completions", {"messages": [HI]}),
    "completion": ("/v1/completions", {"prompt": "Hi"}),
    "responses": ("/v1/responses", {"input": "Hi"}),
    "messages": ("/v1/messages", {"messages": [HI], "max_tokens": 9}),
}
ECHO = b'"got Bearer sk-canary, sk-canary","code":"sk-canary","param":"sk-canary"'
CHAT_ERROR = b'data: {"error":{"type":"server_error","message":' + ECHO + b"}}\n\n"
LATE_ERROR = b'data: {"id":"c","choices":[],"error":{"code":500,"message":' + ECHO.replace(b"code", b"kind") + b"}}\n\n"
TEXT_EVENT = b'data: {"choices":[{"index":0,"text":"Hi","finish_reason":null}]}\n\n'
DELTA = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
MESSAGES_ERROR = b'data: {"type":"error","error":{"type":"overloaded_error","message":' + ECHO + b"}}\n\n"
SPEAKERS = {
    "engine": ("llama-8b", CHAT_ERROR),
    "engine, named late": ("llama-8b", LATE_ERROR),
    "provider": ("gpt-4o", CHAT_ERROR),
    "anthropic": ("claude-3-5-sonnet", MESSAGES_ERROR),
}
PAIRS = [
    (dialect, speaker) for dialect in ASKS for speaker in SPEAKERS if (dialect, speaker) != ("completion", "anthropic")
]


@pytest.mark.parametrize("where", ["first", "middle", "whole"])
@pytest.mark.parametrize(("dialect", "speaker"), PAIRS)
def test_no_key_comes_back_with_an_error_event(dialect: str, speaker: str, where: str) -> None:
    """An upstream that answers 200 and then repeats the operator's key, in whatever place, tells callers none."""
    (model, event), key = SPEAKERS[speaker], Secret(CANARY)
    alone = replace(SETTINGS, fallbacks={})
    world = World(settings=alone, engine_key=key, provider_keys=dict.fromkeys(SETTINGS.providers, (key,)))
    said = DELTA if model == "claude-3-5-sonnet" else TEXT_EVENT if dialect == "completion" else EVENT
    body = event.removeprefix(b"data: ").strip()
    answers = {"first": stream(event), "middle": stream(said, event, DONE), "whole": whole(body)}
    for upstream in (world.own, world.external):
        upstream.script = [replace(answers[where]) for _ in range(9)]
    path, words = ASKS[dialect]
    asked = orjson.dumps({"model": model, **words, "stream": where != "whole"})
    heard = jumping(world.send(asked, path=path))
    assert b"***" in heard.body
    assert CANARY.encode() not in heard.body + repr(heard.headers).encode()
    assert (heard.status == 200) is (where == "middle")
