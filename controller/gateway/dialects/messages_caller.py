"""Callers of Anthropic's Messages API."""

from __future__ import annotations

import orjson

from controller.config.settings import Caps
from controller.core.errors import RequestError
from controller.core.models import Dialect
from controller.core.requests import Operation
from controller.gateway.answers import Headers, base_headers
from controller.gateway.decode import Decoded, with_facts
from controller.gateway.dialects.caller import StreamWriter
from controller.gateway.dialects.messages_answer import MessageWriter, whole
from controller.gateway.dialects.messages_request import to_chat
from controller.gateway.json_body import parse
from controller.gateway.wishes import HeaderMap

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {502: 500, 503: 529}  # Anthropic's own for the same
QUOTA = "insufficient_quota"


class MessagesCaller:
    """Satisfies `caller.Caller`."""

    dialect = Dialect.ANTHROPIC

    def decode(self, operation: Operation, headers: HeaderMap, body: bytes, tenant: str, caps: Caps) -> Decoded:
        """The request, checked, as a chat request; the caller's own document goes along for Anthropic targets."""
        asked = parse(body, caps)
        if operation is Operation.COUNT_TOKENS:
            asked.setdefault("max_tokens", 1)
            asked.pop("stream", None)
        made = to_chat(asked, caps)
        chat = made.document
        if asked.get("metadata") is not None:
            chat["metadata"] = asked["metadata"]  # task and complexity may be in it
        return with_facts(
            operation,
            chat,
            headers,
            tenant,
            caps,
            native=asked,
            native_only=made.native_only,
            dropped=tuple(dict.fromkeys(made.dropped)),
        )

    def answer(self, chat: bytes, decoded: Decoded) -> bytes:
        """A whole chat completion as a message."""
        del decoded
        return whole(chat)

    def writer(self, decoded: Decoded, created_s: int) -> StreamWriter | None:
        """Chat chunks as the events of a message."""
        del decoded, created_s
        return MessageWriter()

    def status(self, error: RequestError) -> int:
        """An empty purse is 402 here, an overloaded upstream 529."""
        return 402 if error.code == QUOTA else _STATUSES.get(error.status, error.status)

    def error_body(self, error: RequestError, request_id: bytes) -> bytes:
        """`{"type": "error", "error": {"type", "message"}, "request_id"}`."""
        kind = _KINDS.get(self.status(error), "api_error")
        detail = {"type": kind, "message": error.message, "details": {"error_code": error.code, "param": error.param}}
        return orjson.dumps({"type": "error", "error": detail, "request_id": request_id.decode()})

    def error_event(self, error: RequestError, request_id: bytes) -> bytes:
        """The same as an event; no message_stop follows it."""
        return b"event: error\ndata: " + self.error_body(error, request_id) + b"\n\n"

    def id_headers(self, request_id: bytes) -> Headers:
        """`request-id`, and ours."""
        return [(b"request-id", request_id), *base_headers(request_id)]


MESSAGES_CALLER = MessagesCaller()
