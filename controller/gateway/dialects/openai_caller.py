"""Callers of OpenAI's chat completions, completions and embeddings: the common ground itself, nothing to translate."""

from __future__ import annotations

from controller.config.settings import Caps
from controller.core.errors import RequestError
from controller.core.models import Dialect
from controller.core.requests import Operation
from controller.gateway.answers import Headers, base_headers, error_body, error_event
from controller.gateway.decode import Decoded, decode
from controller.gateway.dialects.caller import StreamWriter
from controller.gateway.wishes import HeaderMap


class OpenAIRefusals:
    """Errors and ids as all callers of OpenAI's APIs know them."""

    def status(self, error: RequestError) -> int:
        """Its own."""
        return error.status

    def error_body(self, error: RequestError, request_id: bytes) -> bytes:
        """`{"error": {...}}` with all four keys."""
        del request_id
        return error_body(error)

    def id_headers(self, request_id: bytes) -> Headers:
        """`x-request-id`, and ours."""
        return base_headers(request_id)


class OpenAICaller(OpenAIRefusals):
    """Satisfies `caller.Caller`."""

    dialect = Dialect.OPENAI

    def decode(self, operation: Operation, headers: HeaderMap, body: bytes, tenant: str, caps: Caps) -> Decoded:
        """The request, checked."""
        return decode(operation, headers, body, tenant, caps)

    def answer(self, chat: bytes, decoded: Decoded) -> bytes:
        """As it came."""
        del decoded
        return chat

    def writer(self, decoded: Decoded, created_s: int) -> StreamWriter | None:
        """None: chunks pass as they are."""
        del decoded, created_s
        return None

    def error_event(self, error: RequestError, request_id: bytes) -> bytes:
        """The same inside a stream; no [DONE] follows it."""
        del request_id
        return error_event(error)


OPENAI_CALLER = OpenAICaller()
