"""A conversation in chat words, said in Anthropic's and in chat words again, is the same conversation."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.config.settings import Caps
from controller.core.requests import Operation
from controller.gateway.anthropic_wire import request_body
from controller.gateway.decode import decode
from controller.gateway.dialects.messages_caller import MESSAGES_CALLER
from tests.gateway.gateway_builders import CLAUDE

Document = dict[str, Any]
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
images = st.sampled_from(["data:image/png;base64,aGk=", "data:image/jpeg;base64,AA==", "https://pictures.test/a.png"])
arguments = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(-(2**63), 2**63) | texts, max_size=2).map(
    lambda value: orjson.dumps(value).decode()
) | st.just("{}")
parts = st.lists(
    texts.map(lambda text: {"type": "text", "text": text})
    | images.map(lambda url: {"type": "image_url", "image_url": {"url": url}}),
    min_size=1,
    max_size=3,
)
users = st.fixed_dictionaries({"role": st.just("user"), "content": texts | parts})
tools = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["look", "see"]), "parameters": st.just({"type": "object"})}),
    max_size=2,
    unique_by=lambda tool: tool["name"],
)


@st.composite
def turns(draw: st.DrawFn) -> list[Document]:
    """What the user says, what is answered, and what came of the calls in it."""
    said: list[Document] = [draw(users)]
    count = draw(st.integers(0, 3))
    start = draw(st.integers(0, 99)) * 10
    calls = [
        {"id": f"t{start + number}", "type": "function", "function": {"name": "look", "arguments": draw(arguments)}}
        for number in range(count)
    ]
    answer: Document = {"role": "assistant", "content": draw(texts)}
    said.append({**answer, "tool_calls": calls} if calls else answer)
    said.extend({"role": "tool", "tool_call_id": call["id"], "content": draw(texts)} for call in calls)
    return said


def flat(messages: list[Document]) -> list[tuple[object, ...]]:
    """What is said by whom, in order, however it is grouped."""
    found: list[tuple[object, ...]] = []
    for message in messages:
        role, content = message["role"], message.get("content")
        if role == "tool":
            found.append(("result", message["tool_call_id"], content))
            continue
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            if part["type"] == "text":
                found.append((role, part["text"]))
            else:
                found.append((role, "image", part["image_url"]["url"]))
        for call in message.get("tool_calls") or []:
            function = call["function"]
            found.append(("call", call["id"], function["name"], orjson.loads(function["arguments"])))
    return found


def joined(said: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The same with neighbouring texts of one speaker as one: chat joins the texts of an assistant."""
    found: list[tuple[object, ...]] = []
    for one in said:
        before = found[-1] if found else ()
        if len(one) == 2 and one[0] == "assistant" and len(before) == 2 and before[0] == "assistant":
            found[-1] = (one[0], f"{before[1]}{one[1]}")
        else:
            found.append(one)
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(turns(), min_size=1, max_size=3), users, st.none() | texts, tools)
def test_chat_to_messages_and_back(
    talk: list[list[Document]], last: Document, system: str | None, functions: list[Document]
) -> None:
    """Texts, images, calls with their arguments, results, system and tools all come back."""
    messages = [message for turn in talk for message in turn] + [last]
    given_system = [] if system is None else [{"role": "system", "content": system}]
    chat: Document = {"model": "m", "max_tokens": 5, "messages": [*given_system, *messages]}
    if functions:
        chat["tools"] = [{"type": "function", "function": function} for function in functions]
    there = request_body(decode(Operation.CHAT, {}, orjson.dumps(chat), "acme", Caps()), CLAUDE, temperature=None)
    back = MESSAGES_CALLER.decode(Operation.CHAT, {}, there, "acme", Caps()).document
    assert joined(flat(back["messages"])) == joined(flat(chat["messages"]))
    assert [tool["function"] for tool in back.get("tools", [])] == functions
    assert back["max_tokens"] == 5
