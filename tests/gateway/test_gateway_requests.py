"""Requests through the whole gateway: routes, headers of answers, failures on the way, and the books afterwards."""

from __future__ import annotations

import asyncio
import gc
import re

import orjson
import pytest
from structlog.testing import capture_logs

from controller.config.settings import Caps
from controller.core.errors import EngineUnavailable, UpstreamTimeout
from controller.core.requests import TargetKind
from controller.core.secret import Secret
from controller.gateway.exchange import Exchange
from controller.gateway.relay import StreamRelay
from tests.gateway.gateway_builders import SetFleet, fleet
from tests.gateway.gateway_world import (
    BEARER,
    COMPLETION,
    DONE,
    EVENT,
    LAST,
    USAGE,
    Answer,
    World,
    stream,
    whole,
    with_gateway,
)
from tests.gateway.jumping_loop import jumping

GONE = EngineUnavailable("connection broke")
ROUTES = [
    ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
    ("POST", "/v1/models", 405, "method_not_allowed"),
    ("POST", "/v1/chat/completions/", 404, "unknown_route"),
    ("POST", "//v1/chat/completions", 404, "unknown_route"),
    ("POST", "/v1/chat%2fcompletions", 404, "unknown_route"),
    ("POST", "/v1/x/../chat/completions", 404, "unknown_route"),
    ("GET", "/metrics", 404, "unknown_route"),
    ("GET", "/v1/models/nothing", 404, "model_not_found"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), ROUTES, ids=[f"{row[0]} {row[1]}" for row in ROUTES])
def test_other_routes(method: str, path: str, status: int, code: str) -> None:
    """What is not on the table, byte for byte, is not there; the refusal has OpenAI's shape and a request id."""
    heard = jumping(World().send(b"{}", method=method, path=path))
    assert (heard.status, heard.error["code"]) == (status, code)
    assert heard.headers["x-should-retry"] == "false"
    assert re.fullmatch(r"req-[0-9a-f]{10}-[0-9a-f]{7}", heard.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/v1/embeddings"])
def test_every_route_needs_a_key(path: str) -> None:
    """401, with the scheme, and nothing about the key."""
    heard = jumping(World().send(b"{}", method="GET" if path == "/v1/models" else "POST", path=path, headers=[]))
    assert (heard.status, heard.error["code"]) == (401, "invalid_api_key")
    assert heard.headers["www-authenticate"] == "Bearer"


def test_headers_of_an_own_answer() -> None:
    """Who answered, why, how often it was tried, and what it cost."""
    world = World()
    world.own.script = [whole()]
    heard = world.heard()
    request_id = heard.headers["x-request-id"]
    assert heard.headers == {
        "content-type": "application/json",
        "x-request-id": request_id,
        "x-spillway-request-id": request_id,
        "x-spillway-model": "llama-8b-self",
        "x-spillway-target": "llama-8b",
        "x-spillway-reason": "asked for by name",
        "x-spillway-requested-model": "llama-8b",
        "x-spillway-attempts": "1",
        "x-spillway-cost-usd": heard.headers["x-spillway-cost-usd"],
        "content-length": str(len(COMPLETION)),
    }
    assert re.fullmatch(r"\d+\.\d{9}", heard.headers["x-spillway-cost-usd"])
    assert world.own.calls[0].request_id == request_id


def test_a_stream_costs_nothing_extra_to_meter() -> None:
    """Usage is asked for and taken out; the ledger has the upstream's counts; the connection is kept."""
    world = World()
    answer = stream(EVENT + LAST, USAGE, DONE)
    world.own.script = [answer]
    heard = world.heard({"stream": True})
    assert heard.body == EVENT + LAST + DONE
    assert heard.headers["content-type"].startswith("text/event-stream")
    assert heard.headers["x-spillway-attempts"] == "1"
    assert b'"include_usage":true' in world.own.calls[0].body
    usage = world.ledger.posted[0].usage
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (7, 2, False)
    assert answer.closed == [True]


@pytest.mark.parametrize(
    "failure",
    [GONE, UpstreamTimeout("connect", 1.0), whole(b"<html>"), whole(b"", status=500), stream(EVENT)],
    ids=["gone", "no connection", "no JSON", "status 500", "no answer in a 200"],
)
def test_what_fails_before_the_first_byte_goes_elsewhere(failure: object) -> None:
    """The caller gets the next target's answer, and hears in headers that it spilled; nothing else changes."""
    world = World()
    world.own.script = [failure]  # type: ignore[list-item]
    world.external.script = [whole()]
    heard = world.heard()
    assert (heard.status, heard.body) == (200, COMPLETION)
    assert heard.headers["x-spillway-spilled"] == "failed"
    assert heard.headers["x-spillway-attempts"] == "2"
    assert heard.headers["x-spillway-target"] == "groq"
    entry = world.ledger.posted[0]
    assert (entry.target_kind, entry.spilled, entry.status) == (TargetKind.EXTERNAL, True, 200)
    assert [attempt.outcome == "answered" for attempt in entry.attempts] == [False, True]
    assert world.ledger.reserved == {}


def test_a_request_at_fault_is_not_tried_elsewhere() -> None:
    """A 400 of the engine is the caller's: its words, type, param and code go through; only the source is added."""
    world = World()
    body = b'{"error":{"message":"bad","type":"BadRequestError","param":"messages","code":400}}'
    world.own.script = [whole(body, status=400)]
    heard = world.heard()
    assert heard.status == 400
    assert heard.error == {"message": "bad", "type": "BadRequestError", "param": "messages", "code": "400"}
    assert heard.headers["x-spillway-error-source"] == "pool"
    assert heard.headers["x-spillway-attempts"] == "1"
    assert world.external.calls == []


def test_when_everything_fails() -> None:
    """The last failure is told, reservations are given back, and the ledger has every try."""
    world = World()
    world.own.script = [GONE]
    world.external.script = [whole(b"", status=500), GONE]
    heard = world.heard()
    assert (heard.status, heard.error["code"]) == (503, "upstream_unavailable")
    assert heard.headers["x-spillway-error-source"] == "provider"
    assert heard.headers["x-spillway-attempts"] == "3"
    assert heard.headers["retry-after"] == "1"
    entry = world.ledger.posted[0]
    assert (entry.status, entry.cost_nanousd, entry.target, len(entry.attempts)) == (503, 0, None, 3)
    assert len(world.ledger.voided) == 2
    assert world.ledger.reserved == {}


def test_no_budget() -> None:
    """Without a replica and without money: 429 that the SDK does not repeat."""
    world = World(feed=SetFleet(fleet()))
    world.ledger.left_nanousd = 0
    heard = world.heard()
    assert (heard.status, heard.error["code"], heard.error["type"]) == (429, "insufficient_quota", "insufficient_quota")
    assert heard.headers["x-should-retry"] == "false"
    assert heard.headers["x-spillway-attempts"] == "0"


def test_a_defect_of_ours() -> None:
    """500 without any detail, which is in the log under the id; the gateway goes on, the ledger has the request."""
    world = World()
    world.own.script = [ValueError("secret detail")]
    with capture_logs() as logs:
        heard = world.heard()
    assert [(line["event"], line["request_id"]) for line in logs] == [("request_failed", heard.headers["x-request-id"])]
    assert (heard.status, heard.error["code"]) == (500, "internal_error")
    assert b"secret" not in heard.body
    assert world.gateway.metrics.in_flight == 0
    assert world.ledger.posted[0].status == 500


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_a_caller_who_leaves(streamed: bool) -> None:
    """The upstream is cut, nothing is tried again, and what was bought is billed as an estimate."""
    world = World()
    answer = stream(EVENT, EVENT, 100.0) if streamed else whole(head_after_s=100)
    world.external.script = [answer]
    heard = world.heard({"stream": streamed, "model": "gpt-6-luna"}, leaves_after_s=5)
    assert heard.took_s == pytest.approx(5, abs=0.1)
    assert not heard.ended
    entry = world.ledger.posted[0]
    assert (entry.status, entry.usage.estimated, len(entry.attempts)) == (499, True, 1)
    assert entry.cost_nanousd > 0
    assert entry.usage.output_tokens == (2 if streamed else 128)
    assert answer.closed == ([False] if streamed else [])
    assert answer.hung_up == (1 if streamed else 0)
    assert world.gateway.metrics.client_left == 1


@pytest.mark.parametrize(
    "error",
    [b'data: {"error":{"message":"boom","code":500}}\n\n', EngineUnavailable("cut"), b""],
    ids=["an error event", "cut", "an end without its mark"],
)
def test_a_stream_that_breaks(error: bytes | Exception) -> None:
    """After the first byte: an error event in OpenAI's shape, no [DONE], no second target; what went by is billed."""
    world = World()
    world.external.script = [stream(EVENT, EVENT, error)]
    heard = world.heard({"stream": True, "model": "gpt-6-luna"})
    assert heard.status == 200
    assert heard.ended
    events = heard.body.split(b"\n\n")
    assert set(orjson.loads(events[2].removeprefix(b"data: "))["error"]) == {"message", "type", "param", "code"}
    assert events[3:] == [b""]
    entry = world.ledger.posted[0]
    assert (entry.status, entry.usage.output_tokens, entry.usage.estimated) == (200, 2, True)
    assert entry.error is not None


def test_more_than_may_be_in_flight() -> None:
    """The one too many is refused at once, with a time to come back."""
    settings = with_gateway(caps=Caps(in_flight=1))

    async def main() -> None:
        world = World(settings=settings)
        world.own.script = [whole(head_after_s=5)]
        first = asyncio.create_task(world.ask())
        await asyncio.sleep(1)
        second = await world.ask()
        assert (second.status, second.error["code"], second.headers["retry-after"]) == (429, "gateway_full", "1")
        assert (await first).status == 200

    jumping(main())


def test_a_body_over_the_cap() -> None:
    """Refused by what is declared, and by what comes; then the connection ends too."""
    settings = with_gateway(caps=Caps(body_bytes=1024))
    declared = jumping(
        World(settings=settings).send(b"", headers=[BEARER, (b"content-length", b"1025")], body_after_s=1)
    )
    assert (declared.status, declared.error["code"], "connection" in declared.headers) == (
        413,
        "request_too_large",
        False,
    )
    came = jumping(World(settings=settings).send(b"x" * 1025))
    assert (came.status, came.headers["connection"]) == (413, "close")
    huge = jumping(
        World(settings=settings).send(b"", headers=[BEARER, (b"content-length", b"99999999999")], body_after_s=1)
    )
    assert (huge.status, huge.headers["connection"]) == (413, "close")


def test_another_key_of_the_provider() -> None:
    """A key that is refused is called once, the next one answers the same request; from then on only that one."""
    world = World(provider_keys={"openai": (Secret("sk-dead"), Secret("sk-good"))})
    refusal = Answer(pieces=[b'{"error":{"message":"no","code":"invalid_api_key"}}'], status=401)
    world.external.script = [refusal, whole(), whole()]
    heard = world.heard({"model": "gpt-4o"})
    assert (heard.status, heard.headers["x-spillway-target"], heard.headers["x-spillway-attempts"]) == (
        200,
        "openai",
        "2",
    )
    assert world.heard({"model": "gpt-4o"}).status == 200
    sent = [dict(call.headers)["authorization"] for call in world.external.calls]
    assert sent == ["Bearer sk-dead", "Bearer sk-good", "Bearer sk-good"]
    assert world.ledger.reserved == {}


def test_one_key_alone_is_not_tried_twice() -> None:
    """The caller hears of it; the next request does not call at all."""
    world = World(provider_keys={"openai": (Secret("sk-dead"),)})
    world.external.script = [Answer(pieces=[b"{}"], status=401)]
    assert world.heard({"model": "gpt-4o"}).status == 502
    assert world.heard({"model": "gpt-4o"}).status == 429
    assert len(world.external.calls) == 1


def _held() -> int:
    return sum(type(one) in {Exchange, StreamRelay} for one in gc.get_objects())


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_what_a_request_held_goes_with_it(streamed: bool) -> None:
    """No ring is left for the garbage collector, whose rare passes would let the memory creep up."""
    world = World()
    world.own.script = [stream(EVENT + LAST, USAGE, DONE)] if streamed else [whole()]
    gc.collect()
    before = _held()
    gc.disable()
    try:
        assert world.heard({"stream": streamed}).status == 200
        assert _held() <= before
    finally:
        gc.enable()
