"""Callers of OpenAI's Responses API, the part of it that needs no memory. Every target is asked in chat words."""

from __future__ import annotations

from controller.config.settings import Caps
from controller.core.errors import RequestError
from controller.core.requests import Operation
from controller.gateway.decode import Decoded, with_facts
from controller.gateway.dialects.caller import StreamWriter
from controller.gateway.dialects.openai_caller import OpenAIRefusals
from controller.gateway.dialects.responses_answer import whole
from controller.gateway.dialects.responses_request import to_chat
from controller.gateway.dialects.responses_stream import ResponseWriter
from controller.gateway.json_body import parse
from controller.gateway.wishes import HeaderMap


class ResponsesCaller(OpenAIRefusals):
    """Satisfies `caller.Caller`."""

    dialect = None

    def decode(self, operation: Operation, headers: HeaderMap, body: bytes, tenant: str, caps: Caps) -> Decoded:
        """The request, checked, as a chat request; the caller's own goes along, as answers repeat parts of it."""
        asked = parse(body, caps)
        made = to_chat(asked, caps)
        dropped = tuple(dict.fromkeys(made.dropped))
        return with_facts(operation, made.document, headers, tenant, caps, asked=asked, dropped=dropped)

    def answer(self, chat: bytes, decoded: Decoded) -> bytes:
        """A whole chat completion as a response."""
        return whole(chat, decoded.asked or {})

    def writer(self, decoded: Decoded, created_s: int) -> StreamWriter | None:
        """Chat chunks as the events of a response."""
        return ResponseWriter(decoded.asked or {}, created_s)

    def error_event(self, error: RequestError, request_id: bytes) -> bytes:
        """An error before anything of the answer was said."""
        del request_id
        return ResponseWriter({}, 0).broken(error)


RESPONSES_CALLER = ResponsesCaller()
