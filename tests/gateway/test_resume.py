"""A stream whose engine dies goes on at another replica, exactly or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from controller.core.errors import EngineUnavailable, UpstreamRejected
from tests.gateway.gateway_builders import SetFleet, fleet, replica
from tests.gateway.gateway_world import BEARER, DONE, SETTINGS, Answer, Heard, World, stream, whole
from tests.gateway.jumping_loop import jumping

RESUMING = replace(SETTINGS, gateway=replace(SETTINGS.gateway, resume=True))
GONE = EngineUnavailable("connection broke")
GREEDY: dict[str, object] = {"temperature": 0, "max_tokens": 9, "stream": True}


def event(document: dict[str, object]) -> bytes:
    """One event."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def said(text: str, ids: Sequence[int], **more: object) -> bytes:
    """A chat chunk as an engine words it when it was asked for token ids."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, "token_ids": list(ids)}
    return event(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    )


def went_on(text: str, ids: Sequence[int], finish: str | None = None) -> bytes:
    """A completion chunk of the engine that goes on."""
    choice = {"index": 0, "text": text, "finish_reason": finish, "token_ids": list(ids)}
    return event({"id": "k2", "object": "text_completion", "created": 2, "model": "m", "choices": [choice]})


FIRST = said("", [], prompt_token_ids=[5, 6, 7])
COUNTED = event({"id": "k2", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}})


def detokenized(text: str) -> Answer:
    """The next engine's text for the ids so far."""
    return whole(orjson.dumps({"prompt": text}))


def world(*script: Answer | Exception, replicas: int = 2) -> World:
    """Replicas of llama-8b, resuming allowed."""
    made = World(settings=RESUMING, feed=SetFleet(fleet(*[replica(f"r{n}") for n in range(1, replicas + 1)])))
    made.own.script = list(script)
    return made


def dying(*pieces: bytes | float) -> Answer:
    """A stream that is cut."""
    return stream(FIRST, *(pieces or (said("The ", [1]), said("end", [2]))), GONE)


def chunks(heard: Heard) -> list[dict[str, Any]]:
    """What the caller got, without [DONE]."""
    return [orjson.loads(part[6:]) for part in heard.body.split(b"\n\n") if part and part[6:] != b"[DONE]"]


def text_of(heard: Heard) -> str:
    """The whole text."""
    return "".join(choice["delta"].get("content") or "" for chunk in chunks(heard) for choice in chunk["choices"])


def test_the_caller_sees_one_stream() -> None:
    """One id, the whole text, one [DONE], no token ids; the ledger has one row with both tries and all tokens."""
    made = world(
        dying(), detokenized("The end"), stream(went_on(" is", [3]), went_on(" near", [4], "stop"), COUNTED, DONE)
    )
    heard = made.heard({**GREEDY, "stream_options": {"include_usage": True}})
    assert text_of(heard) == "The end is near"
    assert heard.body.endswith(DONE)
    assert heard.body.count(DONE) == 1
    assert {chunk["id"] for chunk in chunks(heard)} == {"c1"}
    assert b"token_ids" not in heard.body
    assert chunks(heard)[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    [entry] = made.ledger.posted
    assert [attempt.replica_id for attempt in entry.attempts] == ["r1", "r2"]
    assert entry.attempts[0].outcome.startswith("resumed elsewhere")
    assert (entry.status, entry.usage.input_tokens, entry.usage.output_tokens) == (200, 3, 4)
    assert set(made.gateway.loads.in_flight().values()) <= {0}


def test_what_an_engine_gives_up_goes_on_too() -> None:
    """vLLM that is told to end says `abort` and [DONE], be it the first engine or one that went on."""
    last = said("", [])[:-2].replace(b'"finish_reason":null', b'"finish_reason":"abort"') + b"\n\n"
    first = stream(FIRST, said("The ", [1]), said("end", [2]), last, DONE)
    second = stream(went_on(" is", [3]), went_on("", [], "abort"), DONE)
    third = stream(went_on(" near", [4], "stop"), COUNTED, DONE)
    made = world(first, detokenized("The end"), second, detokenized("The end is"), third, replicas=3)
    heard = made.heard(GREEDY)
    assert text_of(heard) == "The end is near"
    assert b"abort" not in heard.body
    assert heard.body.count(DONE) == 1


def test_what_the_next_engine_gets() -> None:
    """Prompt and answer as ids, the rest of the limit, the same sampling, at its completions."""
    made = world(dying(), detokenized("The end"), stream(went_on(" is", [3], "stop"), DONE))
    made.heard({**GREEDY, "top_k": 4})
    first, check, second = (orjson.loads(call.body) for call in made.own.calls)
    assert first["return_token_ids"] is True
    assert check["tokens"] == [1, 2]
    assert made.own.calls[2].path == "/v1/completions"
    assert second["prompt"] == [5, 6, 7, 1, 2]
    assert (second["max_tokens"], second["temperature"], second["top_k"]) == (7, 0, 4)
    assert second["cache_salt"] == first["cache_salt"]
    assert "messages" not in second


def test_text_that_was_held_back_is_computed_again() -> None:
    """Ids whose text the caller has not got are not sent on."""
    made = world(
        dying(said("The", [1]), said("", [2])),
        detokenized("The end"),
        detokenized("The"),
        stream(went_on(" end", [2], "stop"), DONE),
    )
    assert text_of(made.heard(GREEDY)) == "The end"
    assert orjson.loads(made.own.calls[3].body)["prompt"] == [5, 6, 7, 1]


def test_a_second_death() -> None:
    """Goes on once more; a third one ends in an error event."""
    again = (detokenized("The end"), stream(went_on("!", [3]), GONE), detokenized("The end!"))
    made = world(dying(), *again, stream(went_on("?", [4], "stop"), DONE), replicas=3)
    assert text_of(made.heard(GREEDY)) == "The end!?"
    assert orjson.loads(made.own.calls[4].body)["prompt"] == [5, 6, 7, 1, 2, 3]
    made = world(dying(), *again, stream(went_on("?", [4]), GONE), replicas=4)
    heard = made.heard(GREEDY)
    assert b'"error"' in heard.body
    assert DONE not in heard.body


STAYS_BROKEN: list[tuple[str, dict[str, object], list[Answer | Exception], int]] = [
    ("not greedy", {"temperature": 0.5}, [], 2),
    ("temperature unset", {"temperature": None}, [], 2),
    ("tools", {"tools": [{"type": "function", "function": {"name": "f"}}]}, [], 2),
    ("json", {"response_format": {"type": "json_object"}}, [], 2),
    ("stop text", {"stop": ["x"]}, [], 2),
    ("log probabilities", {"logprobs": True}, [], 2),
    ("penalty", {"presence_penalty": 1}, [], 2),
    ("no other replica", {}, [], 1),
    ("other text", {}, [detokenized("Another")], 2),
    ("no text", {}, [whole(b"x")], 2),
    ("next one gone", {}, [GONE], 2),
    ("next one full", {}, [detokenized("The end"), whole(b"{}", status=503)], 2),
    ("nothing left to say", {"max_tokens": 2}, [detokenized("The end")], 2),
]


@pytest.mark.parametrize(
    ("fields", "script", "replicas"), [r[1:] for r in STAYS_BROKEN], ids=[r[0] for r in STAYS_BROKEN]
)
def test_where_it_would_not_be_exact(
    fields: dict[str, object], script: list[Answer | Exception], replicas: int
) -> None:
    """The caller hears an error event and no [DONE]; nothing stays in flight."""
    made = world(dying(), *script, replicas=replicas)
    heard = made.heard({**GREEDY, **fields})
    assert b'data: {"error"' in heard.body
    assert DONE not in heard.body
    assert not made.own.script
    assert set(made.gateway.loads.in_flight().values()) <= {0}


@pytest.mark.parametrize(("slow_s", "resumed"), [(40.0, True), (2000.0, False)], ids=["slow", "for ever"])
def test_the_next_engine_takes_its_time(slow_s: float, resumed: bool) -> None:
    """The silence of the dead engine is not held against it; one that never answers ends in an error event."""
    cut = dying(said("The ", [1]), said("end", [2]), 40.0)
    slow = replace(detokenized("The end"), head_after_s=slow_s)
    made = world(cut, slow, stream(went_on(".", [3], "stop"), DONE))
    heard = made.heard(GREEDY)
    if resumed:
        assert (text_of(heard), heard.body.endswith(DONE)) == ("The end.", True)
    else:
        assert b'data: {"error"' in heard.body
        assert DONE not in heard.body
    assert len(made.ledger.posted) == 1


def test_off_by_default() -> None:
    """No ids are asked for, and a death is an error event."""
    made = World(feed=SetFleet(fleet(replica("r1"), replica("r2"))))
    made.own.script = [dying()]
    heard = made.heard(GREEDY)
    assert b'data: {"error"' in heard.body
    assert b"return_token_ids" not in made.own.calls[0].body


@pytest.mark.parametrize(("word", "wanted"), [(b"allow", "The end."), (b"never", "The end")])
def test_the_callers_word(word: bytes, wanted: str) -> None:
    """`allow` lets sampled text go on; `never` forbids it to greedy text."""
    temperature = 0.7 if word == b"allow" else 0
    made = world(dying(), detokenized("The end"), stream(went_on(".", [3], "stop"), DONE))
    heard = made.heard({**GREEDY, "temperature": temperature}, headers=(BEARER, (b"x-spillway-resume", word)))
    assert text_of(heard) == wanted if word == b"allow" else b'data: {"error"' in heard.body


def test_another_word_is_refused() -> None:
    """400, naming the header."""
    heard = World().heard(GREEDY, headers=(BEARER, (b"x-spillway-resume", b"maybe")))
    assert (heard.status, heard.error["param"]) == (400, "x-spillway-resume")


def test_an_error_event_of_the_engine_stands() -> None:
    """What an engine says itself is not a death."""
    made = world(stream(FIRST, said("The", [1]), event({"error": {"message": "no", "code": 400}})))
    heard = made.heard(GREEDY)
    assert b'data: {"error"' in heard.body
    assert len(made.own.calls) == 1


def test_a_messages_caller_goes_on_too() -> None:
    """Beneath the caller's dialect: one message."""
    made = world(dying(), detokenized("The end"), stream(went_on(".", [3], "stop"), COUNTED, DONE))
    asked = {"model": "llama-8b", "max_tokens": 9, "temperature": 0, "stream": True}
    body = orjson.dumps({**asked, "messages": [{"role": "user", "content": "Hi"}]})
    heard = jumping(made.send(body, path="/v1/messages"))
    assert heard.body.count(b"event: message_start") == heard.body.count(b"event: message_stop") == 1
    assert b'"output_tokens":3' in heard.body


def test_a_text_completion_goes_on() -> None:
    """In its own shape, with its own id."""
    choice = {"index": 0, "text": "The", "finish_reason": None, "token_ids": [1], "prompt_token_ids": [5]}
    first = event({"id": "k1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]})
    made = world(stream(first, GONE), detokenized("The"), stream(went_on(" end", [2], "stop"), DONE))
    body = orjson.dumps({"model": "llama-8b", "prompt": "Say", **GREEDY})
    heard = jumping(made.send(body, path="/v1/completions"))
    assert [chunk["id"] for chunk in chunks(heard)] == ["k1", "k1"]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks(heard)) == "The end"


def test_a_refused_request_is_no_death() -> None:
    """A 4xx before the first byte fails as ever."""
    made = world(UpstreamRejected(400, b"{}"))
    assert made.heard(GREEDY).status == 400
