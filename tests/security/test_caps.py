"""Each cap on what is sent, just at it and just over it: accepted, and refused with the right code."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace

import orjson
import pytest

from controller.adapters.h1_upstream import H1Upstream
from controller.config.settings import CAPS, Caps
from controller.core.errors import EngineUnavailable, RequestError
from controller.core.pools import EngineArgs, Slo
from controller.core.requests import Operation
from controller.gateway.decode import decode
from controller.gateway.dialects.caller import Caller
from tests.contract.scripted_server import Peer, Script, scripted
from tests.contract.upstream_clients import asked
from tests.gateway.gateway_world import BEARER, DONE, EVENT, LAST, SETTINGS, Heard, World, stream, whole, with_gateway
from tests.gateway.jumping_loop import jumping
from tests.gateway.keyed_requests import ask as ask_keyed
from tests.security.cap_cases import ANYTHING, FIELDS, TRANSLATED, Say, bytes_of
from tests.web.h1_world import get, heads, running


@pytest.mark.parametrize(("cap", "param", "say"), FIELDS, ids=[f"{cap}, {param}" for cap, param, _ in FIELDS])
def test_caps_on_fields(cap: str, param: str, say: Say) -> None:
    """So much is a checked request; one more is 400 with the name of the field."""
    most = int(getattr(CAPS, cap))
    assert decode(Operation.CHAT, {}, bytes_of(say(most)), "acme", CAPS)
    with pytest.raises(RequestError) as caught:
        decode(Operation.CHAT, {}, bytes_of(say(most + 1)), "acme", CAPS)
    code = "invalid_json" if param == "body" else "invalid_value"
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)
    fewer = replace(CAPS, **{cap: most - 1})
    with pytest.raises(RequestError):
        decode(Operation.CHAT, {}, bytes_of(say(most)), "acme", fewer)


@pytest.mark.parametrize(
    ("cap", "caller", "param", "say"),
    TRANSLATED,
    ids=[f"{caller.dialect}, {param}" for _, caller, param, _ in TRANSLATED],
)
def test_caps_on_translated_fields(cap: str, caller: Caller, param: str, say: Say) -> None:
    """Messages and Responses have the caps of chat, and refusals name their own fields."""
    most = int(getattr(CAPS, cap))
    there, beyond = (orjson.dumps({"model": "auto", **say(much)}) for much in (most, most + 1))
    assert caller.decode(Operation.CHAT, {}, there, "acme", CAPS)
    with pytest.raises(RequestError) as caught:
        caller.decode(Operation.CHAT, {}, beyond, "acme", CAPS)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_value", param)


def declared(size_bytes: int) -> Heard:
    """What a caller hears who announces so long a body, and sends none of it."""
    return jumping(World().send(b"", headers=[BEARER, (b"content-length", b"%d" % size_bytes)], body_after_s=1))


def body_bytes() -> tuple[object, object]:
    """By what comes, whole."""
    told = []
    for size_bytes in (CAPS.body_bytes, CAPS.body_bytes + 1):
        world = World()
        world.own.script = [whole()]
        filling = size_bytes - len(bytes_of({"model": "llama-8b", ANYTHING: ""}))
        heard = world.heard({ANYTHING: "x" * filling})
        told.append((heard.status, heard.error["code"] if heard.status != 200 else None, len(world.own.calls)))
    assert declared(CAPS.body_bytes + 1).status == 413
    return told[0] == (200, None, 1), told[1] == (413, "request_too_large", 0)


def discard_bytes() -> tuple[object, object]:
    """What is refused anyway is read so far, or not at all: then the connection ends."""
    told = [
        declared(size_bytes).headers.get("connection") for size_bytes in (CAPS.discard_bytes, CAPS.discard_bytes + 1)
    ]
    return told[0] is None, told[1] == "close"


def idempotency_key_bytes() -> tuple[object, object]:
    """The header."""
    world = World()
    world.own.script = [whole()]
    good, bad = (
        jumping(ask_keyed(world, key=b"k" * length))
        for length in (CAPS.idempotency_key_bytes, CAPS.idempotency_key_bytes + 1)
    )
    return good.status == 200, (bad.status, bad.error["code"]) == (400, "invalid_idempotency_key")


def in_flight() -> tuple[object, object]:
    """Two at a time here: what is configured holds."""

    async def main() -> list[Heard]:
        world = World(settings=with_gateway(caps=replace(CAPS, in_flight=2)))
        world.own.script = [whole(head_after_s=1) for _ in range(2)]
        return await asyncio.gather(*(world.ask() for _ in range(3)))

    *good, bad = jumping(main())
    return [one.status for one in good] == [200, 200], (bad.status, bad.error["code"]) == (429, "gateway_full")


def waiting() -> tuple[object, object]:
    """One here, before a pool of one slot that is taken."""
    pool = replace(SETTINGS.pools["llama-8b"], engine=EngineArgs(max_num_seqs=1), slo=Slo(ttft_p95_s=1, tpot_p95_s=0.1))
    settings = with_gateway(caps=replace(CAPS, waiting=1))
    world = World(settings=replace(settings, pools={**settings.pools, "llama-8b": pool}))
    world.own.script = [whole(head_after_s=4) for _ in range(2)]

    async def ask_after(after_s: float) -> Heard:
        await asyncio.sleep(after_s)
        return await world.ask(headers=[BEARER, (b"x-spillway-spill", b"never")])

    async def main() -> list[Heard]:
        return await asyncio.gather(*(ask_after(after_s) for after_s in (0, 1, 2)))

    *good, bad = jumping(main())
    return [one.status for one in good] == [200, 200], (bad.status, bad.error["code"]) == (429, "overloaded")


def event_bytes() -> tuple[object, object]:
    """The data of one event with its line end, in pieces as sockets give them."""
    told = []
    for size_bytes in (CAPS.event_bytes, CAPS.event_bytes + 1):
        world = World()
        start = EVENT[6:].rstrip(b"\n")
        padded = start[:-1] + b',"x":"' + b"x" * (size_bytes - len(start) - 8) + b'"}'
        long = b"data: " + padded + b"\n\n"
        pieces = [long[at : at + 65_536] for at in range(0, len(long), 65_536)]
        world.own.script = [stream(EVENT, *pieces, LAST, DONE)]
        told.append(world.heard({"stream": True}))
    return told[0].body.endswith(DONE), b'"stream_broken"' in told[1].body and DONE not in told[1].body


async def said_to(*requests: bytes) -> list[bytes]:
    """Status lines of the answers on one connection of a server with the caps as they are."""
    async with running() as world:
        return heads(await world.talk(*requests))


def header_bytes() -> tuple[object, object]:
    """Of path, names and values together."""
    spent = len("/") + len("host") + len("x") + len("long")
    good, bad = (
        asyncio.run(said_to(get("/", "long: " + "x" * (size_bytes - spent))))
        for size_bytes in (CAPS.header_bytes, CAPS.header_bytes + 1)
    )
    return good == [b"HTTP/1.1 200 OK"], bad == [b"HTTP/1.1 431 Request Header Fields Too Large"]


def header_count() -> tuple[object, object]:
    """Host counted too."""
    good, bad = (
        asyncio.run(said_to(get("/", *(f"x-{number}: 1" for number in range(count - 1)))))
        for count in (CAPS.header_count, CAPS.header_count + 1)
    )
    return good == [b"HTTP/1.1 200 OK"], bad == [b"HTTP/1.1 431 Request Header Fields Too Large"]


def pipelined() -> tuple[object, object]:
    """Behind the first, which is being answered."""
    good, bad = (asyncio.run(said_to(get() * (1 + count))) for count in (CAPS.pipelined, CAPS.pipelined + 1))
    return good == [b"HTTP/1.1 200 OK"] * (1 + CAPS.pipelined), bad == [b"HTTP/1.1 400 Bad Request"]


def of_engine(head_bytes: int, body_bytes: int) -> Script:
    """An answer of an engine with so long a head and body."""
    length = str(body_bytes).encode()
    filling = b"x" * (head_bytes - len("content-length") - len(length) - len("x"))
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %b\r\nx: %b\r\n\r\n" % (length, filling)

    async def script(peer: Peer) -> None:
        await peer.answer(answer + b"x" * body_bytes)

    return script


def heard_of_engine(head_bytes: int, body_bytes: int) -> int | None:
    """How long the body was; None: the engine has failed."""

    async def main() -> int | None:
        upstream = H1Upstream()
        try:
            async with scripted(of_engine(head_bytes, body_bytes)) as server:
                return len(await asked(upstream, server))
        except EngineUnavailable:
            return None
        finally:
            await upstream.aclose()

    return asyncio.run(main())


def answer_header_bytes() -> tuple[object, object]:
    """Of names and values together."""
    most = CAPS.answer_header_bytes
    return heard_of_engine(most, 2) == 2, heard_of_engine(most + 1, 2) is None


def answer_bytes() -> tuple[object, object]:
    """Of one that is wanted whole."""
    most = CAPS.answer_bytes
    return heard_of_engine(100, most) == most, heard_of_engine(100, most + 1) is None


OTHERS = {
    case.__name__: case
    for case in (
        body_bytes, discard_bytes, idempotency_key_bytes, in_flight, waiting, event_bytes, header_bytes, header_count,
        pipelined, answer_header_bytes, answer_bytes,
    )
}  # fmt: skip


@pytest.mark.parametrize("cap", OTHERS)
def test_caps_on_the_wire(cap: str) -> None:
    """So much passes; one more is refused as the table of limits says."""
    accepted, refused = OTHERS[cap]()
    assert accepted, f"{cap}: refused at it"
    assert refused, f"{cap}: let in over it"


def test_every_cap_has_a_case() -> None:
    """At it and over it."""
    assert {cap for cap, _, _ in FIELDS} | OTHERS.keys() == {field.name for field in fields(Caps)}
