"""The official clients behind one face: the same question in each caller's dialect, the answer in common words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import anthropic
import openai
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = ("get_weather", "get_time")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, once, in no dialect."""

    prompt: str = "Hi"
    max_tokens: int = 200
    system: str | None = None
    stop: tuple[str, ...] = ()
    tools: bool = False
    image: bool = False
    results: tuple[tuple[str, str], ...] = ()  # (call id, what came of it): the turn after the calls
    calls: tuple[tuple[str, str], ...] = ()  # (call id, name), made before
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Said:
    """The answer. `finish` in chat's words."""

    text: str
    calls: tuple[tuple[str, str, object], ...]  # (id, name, arguments)
    reasoning: str
    finish: str
    input_tokens: int
    output_tokens: int
    model: str
    answer_id: str


class Talk(Protocol):
    """One dialect through its official client."""

    async def ask(self, model: str, question: Question, *, stream: bool) -> Said:
        """The answer; the client's own exception when there is none."""
        ...


def _accumulate(document: dict[str, Any], chunk: dict[str, Any]) -> None:
    """The completion so far; the SDK's own helper refuses answers that end with `length`."""
    if not document:
        message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning": "", "tool_calls": []}
        choice = {"index": 0, "message": message, "finish_reason": None}
        document.update({**chunk, "object": "chat.completion", "choices": [choice]})
    document["usage"] = chunk.get("usage") or document["usage"]
    for given in chunk["choices"]:
        choice, delta = document["choices"][0], given["delta"]
        choice["finish_reason"] = given["finish_reason"] or choice["finish_reason"]
        message = choice["message"]
        message["content"] += delta.get("content") or ""
        message["reasoning"] += delta.get("reasoning") or delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls") or ():
            if call["index"] == len(message["tool_calls"]):
                message["tool_calls"].append({**call, "function": {**call["function"], "arguments": ""}})
            message["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"] or ""


class ChatTalk:
    """`client.chat.completions`."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._chat = client.chat.completions

    async def ask(self, model: str, question: Question, *, stream: bool) -> Said:
        """The answer."""
        fields = self._fields(model, question)
        if not stream:
            return self._said(await self._chat.create(**fields))
        document: dict[str, Any] = {}
        async for chunk in await self._chat.create(**fields, stream=True, stream_options={"include_usage": True}):
            _accumulate(document, chunk.model_dump())
        return self._said(ChatCompletion.model_validate(document))

    def _fields(self, model: str, question: Question) -> dict[str, Any]:
        content: Any = question.prompt
        if question.image:
            url = {"url": f"data:image/png;base64,{PIXEL}"}
            content = [{"type": "text", "text": question.prompt}, {"type": "image_url", "image_url": url}]
        messages: list[Any] = [{"role": "user", "content": content}]
        if question.system is not None:
            messages.insert(0, {"role": "system", "content": question.system})
        if question.calls:
            calls = [
                {"id": call, "type": "function", "function": {"name": name, "arguments": '{"city":"Oslo"}'}}
                for call, name in question.calls
            ]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": call, "content": text} for call, text in question.results]
        fields: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": question.max_tokens}
        fields["extra_headers"] = dict(question.headers)
        if question.stop:
            fields["stop"] = list(question.stop)
        if question.tools:
            fields["tools"] = [
                {"type": "function", "function": {"name": name, "parameters": CITY, "strict": True}} for name in TOOLS
            ]
        return fields

    def _said(self, answer: ChatCompletion) -> Said:
        choice, usage = answer.choices[0], answer.usage
        assert usage is not None
        extra = choice.message.model_extra or {}
        return Said(
            text=choice.message.content or "",
            calls=tuple(
                (call.id, call.function.name, json.loads(call.function.arguments))
                for call in choice.message.tool_calls or ()
                if call.type == "function"
            ),
            reasoning=extra.get("reasoning_content") or extra.get("reasoning") or "",
            finish=choice.finish_reason,
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            model=answer.model,
            answer_id=answer.id,
        )


class MessagesTalk:
    """`client.messages`."""

    finishes = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}  # noqa: RUF012

    def __init__(self, client: anthropic.AsyncAnthropic) -> None:
        self._messages = client.messages

    async def ask(self, model: str, question: Question, *, stream: bool) -> Said:
        """The answer."""
        fields = self._fields(model, question)
        if not stream:
            return self._said(await self._messages.create(**fields))
        async with self._messages.stream(**fields) as events:
            async for _ in events:
                pass
            return self._said(await events.get_final_message())

    def _fields(self, model: str, question: Question) -> dict[str, Any]:
        content: list[Any] = [{"type": "text", "text": question.prompt}]
        if question.image:
            source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
            content.append({"type": "image", "source": source})
        messages: list[Any] = [{"role": "user", "content": content}]
        if question.calls:
            uses = [
                {"type": "tool_use", "id": call, "name": name, "input": {"city": "Oslo"}}
                for call, name in question.calls
            ]
            messages.append({"role": "assistant", "content": uses})
        if question.results:
            results = [{"type": "tool_result", "tool_use_id": call, "content": text} for call, text in question.results]
            messages.append({"role": "user", "content": results})
        fields: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": question.max_tokens}
        fields["extra_headers"] = dict(question.headers)
        if question.system is not None:
            fields["system"] = question.system
        if question.stop:
            fields["stop_sequences"] = list(question.stop)
        if question.tools:
            fields["tools"] = [{"name": name, "input_schema": CITY} for name in TOOLS]
        return fields

    def _said(self, answer: Message) -> Said:
        usage = answer.usage
        cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        return Said(
            text="".join(block.text for block in answer.content if block.type == "text"),
            calls=tuple((block.id, block.name, block.input) for block in answer.content if block.type == "tool_use"),
            reasoning="".join(block.thinking for block in answer.content if block.type == "thinking"),
            finish=self.finishes[str(answer.stop_reason)],
            input_tokens=usage.input_tokens + cached,
            output_tokens=usage.output_tokens,
            model=answer.model,
            answer_id=answer.id,
        )


class ResponsesTalk:
    """`client.responses`."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._responses = client.responses

    async def ask(self, model: str, question: Question, *, stream: bool) -> Said:
        """The answer."""
        fields = self._fields(model, question)
        if not stream:
            return self._said(await self._responses.create(**fields))
        final: Response | None = None
        async with self._responses.stream(**fields) as events:
            async for event in events:
                if event.type in ("response.completed", "response.incomplete"):
                    final = event.response
        assert final is not None
        return self._said(final)

    def _fields(self, model: str, question: Question) -> dict[str, Any]:
        assert not question.stop, "Responses has no stop"
        content: list[Any] = [{"type": "input_text", "text": question.prompt}]
        if question.image:
            content.append({"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"})
        items: list[Any] = [{"role": "user", "content": content}]
        items += [
            {"type": "function_call", "call_id": call, "name": name, "arguments": '{"city":"Oslo"}'}
            for call, name in question.calls
        ]
        items += [{"type": "function_call_output", "call_id": call, "output": text} for call, text in question.results]
        fields: dict[str, Any] = {"model": model, "input": items, "max_output_tokens": question.max_tokens}
        fields["extra_headers"] = dict(question.headers)
        if question.system is not None:
            fields["instructions"] = question.system
        if question.tools:
            fields["tools"] = [{"type": "function", "name": name, "parameters": CITY, "strict": True} for name in TOOLS]
        return fields

    def _said(self, answer: Response) -> Said:
        usage = answer.usage
        assert usage is not None
        calls = [item for item in answer.output if item.type == "function_call"]
        thoughts = [item for item in answer.output if item.type == "reasoning"]
        finish = "length" if answer.incomplete_details is not None else "tool_calls" if calls else "stop"
        assert answer.status == ("incomplete" if finish == "length" else "completed")
        return Said(
            text=answer.output_text,
            calls=tuple((item.call_id, item.name, json.loads(item.arguments)) for item in calls),
            reasoning="".join(part.text for item in thoughts for part in item.content or ()),
            finish=finish,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            model=str(answer.model),
            answer_id=answer.id,
        )
