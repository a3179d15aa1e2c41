"""A chat stream as the events of a response.

What is said and thought is one open item at a time; calls stay open until the end, as their deltas may alternate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from controller.core.errors import RequestError
from controller.gateway.dialects.responses_answer import (
    INCOMPLETE,
    Shapes,
    logprobs_of,
    reasoning_text,
    refusal_part,
    text_part,
)
from controller.gateway.dialects.responses_tools import custom_input
from controller.gateway.json_body import Document


@dataclass(slots=True, kw_only=True)
class _Item:
    """One item of the output under way. `kind`: what it holds; calls know who is called."""

    index: int
    kind: str
    item_id: str
    texts: list[str] = field(default_factory=list)
    logprobs: list[Document] = field(default_factory=list)
    call_id: object = None
    called: object = None
    is_custom: bool = False
    done: Document | None = None

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.texts)

    def part(self) -> Document:
        """Its one part, as far as it has come."""
        if self.kind == "text":
            return text_part(self.text, self.logprobs)
        return refusal_part(self.text) if self.kind == "refusal" else {"type": "reasoning_text", "text": self.text}


_EVENTS = {"text": "output_text", "refusal": "refusal", "reasoning": "reasoning_text"}


class ResponseWriter:
    """Satisfies `caller.StreamWriter`."""

    __slots__ = (
        "_asked",
        "_calls",
        "_created_s",
        "_ended",
        "_finish",
        "_items",
        "_number",
        "_open",
        "_shapes",
        "_usage",
    )

    def __init__(self, asked: Document, created_s: int) -> None:
        self._asked = asked
        self._created_s = created_s
        self._shapes: Shapes | None = None
        self._number = 0
        self._items: list[_Item] = []
        self._open: _Item | None = None  # what is being said or thought
        self._calls: dict[object, _Item] = {}  # by the chat index of the call
        self._finish: object = None
        self._usage: object = None
        self._ended: bytes | None = None

    def write(self, chunk: Document) -> bytes:
        """The events for one chunk."""
        out: list[bytes] = []
        self._begin(chunk, out)
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        choices = chunk.get("choices") or []
        if choices and not choices[0].get("index"):
            choice = choices[0]
            self._delta(choice.get("delta") or {}, logprobs_of(choice), out)
            self._finish = choice.get("finish_reason") or self._finish
        return b"".join(out)

    def end(self) -> bytes:
        """The end of every open item and of the response; the same each time it is asked."""
        if self._ended is None:
            out: list[bytes] = []
            shapes = self._begin({}, out)
            status = "incomplete" if self._finish in INCOMPLETE else "completed"
            for item in self._items:
                self._close(item, status, out)
            answer = shapes.response(self._output(), status=status, finish=self._finish, used=self._usage)
            out.append(self._event(f"response.{status}", {"response": answer}))
            self._ended = b"".join(out)
        return self._ended

    def broken(self, error: RequestError) -> bytes:
        """The end of an answer that broke: an error, which raises in the SDK, and the failed response."""
        out: list[bytes] = []
        shapes = self._begin({}, out)
        told = {"code": error.code, "message": error.message, "param": error.param}
        out.append(self._event("error", {**told, "error": {**told, "type": error.kind}}))
        out.append(self._event("response.failed", {"response": shapes.failed(self._output(), error)}))
        return b"".join(out)

    def _output(self) -> list[Document]:
        return [item.done for item in self._items if item.done is not None]

    def _event(self, kind: str, fields: Document) -> bytes:
        number, self._number = self._number, self._number + 1
        document = {"type": kind, "sequence_number": number, **fields}
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(document) + b"\n\n"

    def _begin(self, chunk: Document, out: list[bytes]) -> Shapes:
        """The first chunk says who answers."""
        if self._shapes is None:
            model = chunk.get("model") or self._asked.get("model") or ""
            self._shapes = Shapes(self._asked, chat_id=chunk.get("id"), model=model, created_s=self._created_s)
            begun = {"response": self._shapes.response([], status="in_progress")}
            out.extend([self._event("response.created", begun), self._event("response.in_progress", begun)])
        return self._shapes

    def _delta(self, delta: Document, logprobs: list[Document], out: list[bytes]) -> None:
        thought = reasoning_text(delta)
        if thought is not None:
            self._say("reasoning", thought, [], out)
        if delta.get("content"):
            self._say("text", delta["content"], logprobs, out)
        if delta.get("refusal"):
            self._say("refusal", delta["refusal"], [], out)
        for call in delta.get("tool_calls") or []:
            self._call(call, out)

    def _say(self, kind: str, text: str, logprobs: list[Document], out: list[bytes]) -> None:
        item = self._open
        if item is None or item.kind != kind:
            item = self._start(kind, out)
        item.texts.append(text)
        fields: Document = {**self._place(item), "content_index": 0, "delta": text}
        if kind == "text":
            item.logprobs.extend(logprobs)
            fields["logprobs"] = logprobs
        out.append(self._event(f"response.{_EVENTS[kind]}.delta", fields))

    def _start(self, kind: str, out: list[bytes]) -> _Item:
        shapes = self._begin({}, out)
        self._close_open(out)
        index = len(self._items)
        begun = (
            shapes.reasoning(index, "", "in_progress")
            if kind == "reasoning"
            else shapes.message(index, [], "in_progress")
        )
        item = self._open = _Item(index=index, kind=kind, item_id=begun["id"])
        self._items.append(item)
        out.append(self._event("response.output_item.added", {"output_index": index, "item": begun}))
        part = {**self._place(item), "content_index": 0, "part": item.part()}
        out.append(self._event("response.content_part.added", part))
        return item

    def _place(self, item: _Item) -> Document:
        return {"item_id": item.item_id, "output_index": item.index}

    def _close_open(self, out: list[bytes]) -> None:
        if self._open is not None:
            self._close(self._open, "completed", out)
            self._open = None

    def _call(self, call: Document, out: list[bytes]) -> None:
        function, place = call.get("function") or {}, call.get("index", 0)
        item = self._calls.get(place)
        if item is None:
            shapes = self._begin({}, out)
            self._close_open(out)
            called, index = function.get("name"), len(self._items)
            begun = shapes.call(index, call.get("id"), called, "", "in_progress")
            item = _Item(index=index, kind="call", item_id=begun["id"], call_id=call.get("id"), called=called)
            item.is_custom = shapes.tool(called).is_custom
            self._calls[place] = item
            self._items.append(item)
            out.append(self._event("response.output_item.added", {"output_index": index, "item": begun}))
        arguments = function.get("arguments")
        if arguments:
            item.texts.append(arguments)
            if not item.is_custom:  # the text of a custom tool is known when its JSON is whole
                fields = {**self._place(item), "delta": arguments}
                out.append(self._event("response.function_call_arguments.delta", fields))

    def _close(self, item: _Item, status: str, out: list[bytes]) -> None:
        """What was said in full; nothing when that has been told."""
        shapes = self._begin({}, out)
        if item.done is not None:
            return
        if item.kind == "call":
            item.done = shapes.call(item.index, item.call_id, item.called, item.text, status)
            self._close_call(item, out)
        else:
            part = {**self._place(item), "content_index": 0}
            told: Document = {"refusal": item.text} if item.kind == "refusal" else {"text": item.text}
            if item.kind == "text":
                told["logprobs"] = item.logprobs
            out.append(self._event(f"response.{_EVENTS[item.kind]}.done", {**part, **told}))
            out.append(self._event("response.content_part.done", {**part, "part": item.part()}))
            if item.kind == "reasoning":
                item.done = shapes.reasoning(item.index, item.text, status)
            else:
                item.done = shapes.message(item.index, [item.part()], status)
        out.append(self._event("response.output_item.done", {"output_index": item.index, "item": item.done}))

    def _close_call(self, item: _Item, out: list[bytes]) -> None:
        place = self._place(item)
        if item.is_custom:
            text = custom_input(item.text)
            out.append(self._event("response.custom_tool_call_input.delta", {**place, "delta": text}))
            out.append(self._event("response.custom_tool_call_input.done", {**place, "input": text}))
        else:
            out.append(self._event("response.function_call_arguments.done", {**place, "arguments": item.text}))
