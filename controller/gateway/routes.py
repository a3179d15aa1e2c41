"""The route table: every path that is an inference call. What is not on it is 404."""

from __future__ import annotations

from collections.abc import Mapping

from controller.core.errors import RequestError
from controller.core.records import record
from controller.core.requests import Operation
from controller.gateway.dialects.caller import Caller
from controller.gateway.dialects.messages_caller import MESSAGES_CALLER
from controller.gateway.dialects.openai_caller import OPENAI_CALLER
from controller.gateway.dialects.responses_caller import RESPONSES_CALLER

MODELS = b"/v1/models"


@record
class Route:
    """What a path asks for, and in whose words."""

    operation: Operation
    caller: Caller


ROUTES: Mapping[bytes, Route] = {
    b"/v1/chat/completions": Route(operation=Operation.CHAT, caller=OPENAI_CALLER),
    b"/v1/completions": Route(operation=Operation.COMPLETION, caller=OPENAI_CALLER),
    b"/v1/embeddings": Route(operation=Operation.EMBEDDINGS, caller=OPENAI_CALLER),
    b"/v1/responses": Route(operation=Operation.CHAT, caller=RESPONSES_CALLER),
    b"/v1/messages": Route(operation=Operation.CHAT, caller=MESSAGES_CALLER),
    b"/v1/messages/count_tokens": Route(operation=Operation.COUNT_TOKENS, caller=MESSAGES_CALLER),
}


def unknown_route() -> RequestError:
    """The refusal of every other path."""
    return RequestError(
        f"no such route; there are {MODELS.decode()}, {', '.join(path.decode() for path in ROUTES)}",
        status=404,
        code="unknown_route",
        should_retry=False,
    )
