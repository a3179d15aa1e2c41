"""Chat answers as OpenAI responses: the items of a whole answer, and the document around them."""

from __future__ import annotations

import secrets

import orjson

from controller.core.errors import RequestError
from controller.gateway.dialects.responses_tools import ToolName, custom_input, tool_names
from controller.gateway.json_body import Document
from controller.gateway.openai_wire import usage_of

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_REPEATED: Document = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


def usage(raw: object) -> Document | None:
    """Usage in the shape of Responses; cached and reasoning tokens are parts of the other two."""
    known = usage_of(raw)
    if known is None or not isinstance(raw, dict):
        return None
    details = raw.get("completion_tokens_details")
    reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return {
        "input_tokens": known.input_tokens,
        "input_tokens_details": {"cached_tokens": known.cached_input_tokens, "cache_write_tokens": 0},
        "output_tokens": known.output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning if isinstance(reasoning, int) else 0},
        "total_tokens": known.input_tokens + known.output_tokens,
    }


def reasoning_text(message: Document) -> str | None:
    """What the model thought, where its API tells: the two names in use for it."""
    text = message.get("reasoning_content") or message.get("reasoning")
    return text if isinstance(text, str) and text else None


def stem(chat_id: object) -> str:
    """What all ids of one answer share."""
    return chat_id.removeprefix("chatcmpl-") if isinstance(chat_id, str) and chat_id else secrets.token_hex(12)


class Shapes:
    """The items of one answer and the document around them. `asked`: the caller's request, parts of it are repeated."""

    __slots__ = ("_asked", "_created_s", "_names", "key", "model")

    def __init__(self, asked: Document, *, chat_id: object, model: object, created_s: object) -> None:
        self._asked = asked
        self._names = tool_names(asked.get("tools"))
        self._created_s = created_s
        self.key = stem(chat_id)
        self.model = model

    def response(self, output: list[Document], *, status: str, finish: object = None, used: object = None) -> Document:
        """The document; `finish` is chat's reason."""
        asked = self._asked
        repeated = {name: default if asked.get(name) is None else asked[name] for name, default in _REPEATED.items()}
        reason = INCOMPLETE.get(str(finish))
        effort = (asked.get("reasoning") or {}).get("effort")
        return {
            "id": f"resp_{self.key}",
            "object": "response",
            "created_at": self._created_s,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None if reason is None else {"reason": reason},
            "model": self.model,
            "output": output,
            "previous_response_id": None,
            "reasoning": {"effort": effort, "summary": None},
            "store": False,
            "usage": usage(used),
            **repeated,
        }

    def failed(self, output: list[Document], error: RequestError) -> Document:
        """The document of an answer that broke; Responses has few codes, ours is the type."""
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
        return {
            **self.response(output, status="failed"),
            "error": {"code": code, "message": error.message, "type": error.code},
        }

    def reasoning(self, index: int, text: str, status: str) -> Document:
        """What was thought; nobody sums it up."""
        content = [{"type": "reasoning_text", "text": text}] if status != "in_progress" else []
        item = {"id": f"rs_{self.key}_{index}", "type": "reasoning", "summary": [], "content": content}
        return {**item, "encrypted_content": None, "status": status}

    def message(self, index: int, parts: list[Document], status: str) -> Document:
        """What was said."""
        item: Document = {"id": f"msg_{self.key}_{index}", "type": "message", "role": "assistant"}
        return {**item, "status": status, "content": parts}

    def call(self, index: int, call_id: object, called: object, arguments: str, status: str) -> Document:
        """A call of a function or of a custom tool, under the name that the caller knows."""
        told = self.tool(called)
        item: Document = {"type": "function_call", "id": f"fc_{self.key}_{index}", "call_id": call_id}
        item |= {"name": told.name, "status": status}
        if told.namespace is not None:
            item["namespace"] = told.namespace
        if told.is_custom:
            return {
                **item,
                "type": "custom_tool_call",
                "id": f"ctc_{self.key}_{index}",
                "input": custom_input(arguments),
            }
        return {**item, "arguments": arguments}

    def tool(self, called: object) -> ToolName:
        """Who is meant by a function's name."""
        return self._names.get(str(called)) or ToolName(name=str(called))


def text_part(text: str, logprobs: list[Document]) -> Document:
    """A part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def refusal_part(text: str) -> Document:
    """A part that declines."""
    return {"type": "refusal", "refusal": text}


def logprobs_of(choice: Document) -> list[Document]:
    """Chat's log probabilities; Responses has them in the same words."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return content if isinstance(content, list) else []


def whole(chat: bytes, asked: Document) -> bytes:
    """A chat completion as a response; its first choice, as Responses knows no others."""
    document = orjson.loads(chat)
    choice = document["choices"][0] if document["choices"] else {}
    message, finish = choice.get("message") or {}, choice.get("finish_reason")
    created_s, model = document.get("created"), document.get("model")
    shapes = Shapes(asked, chat_id=document.get("id"), model=model, created_s=created_s)
    status = "incomplete" if finish in INCOMPLETE else "completed"
    output: list[Document] = []
    thought = reasoning_text(message)
    if thought is not None:
        output.append(shapes.reasoning(0, thought, "completed"))
    parts = [text_part(message["content"], logprobs_of(choice))] if message.get("content") else []
    if message.get("refusal"):
        parts.append(refusal_part(message["refusal"]))
    if parts:
        output.append(shapes.message(len(output), parts, status))
    for call in message.get("tool_calls") or []:
        function = call.get("function") or {}
        arguments = function.get("arguments") or ""
        output.append(shapes.call(len(output), call.get("id"), function.get("name"), arguments, status))
    answer = shapes.response(output, status=status, finish=finish, used=document.get("usage"))
    return orjson.dumps(answer)
