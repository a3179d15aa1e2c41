"""From bytes to a JSON object, within the caps on size and depth."""

from __future__ import annotations

from typing import Any

import orjson

from controller.config.settings import Caps
from controller.core.errors import RequestError
from controller.gateway.weights import is_bearable
from controller.gateway.wishes import wrong

Document = dict[str, Any]  # Any: a caller's JSON, until it has been checked


def too_large(limit_bytes: int) -> RequestError:
    """The refusal of a body over the cap."""
    return RequestError(
        f"the body is larger than {limit_bytes} bytes",
        status=413,
        code="request_too_large",
        should_retry=False,
    )


def _depth_within(document: object, limit: int) -> bool:
    level: list[object] = [document]
    for _ in range(limit + 1):
        deeper: list[object] = []
        for node in level:
            if isinstance(node, dict):
                deeper.extend(value for value in node.values() if isinstance(value, dict | list))
            elif isinstance(node, list):
                deeper.extend(value for value in node if isinstance(value, dict | list))
        if not deeper:
            return True
        level = deeper
    return False


def parse(body: bytes, caps: Caps) -> Document:
    """The JSON object in the body, within the caps on depth and on values."""
    if not is_bearable(body, caps.json_weight):
        raise wrong("body", "the body holds too many values", "invalid_json")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise wrong("body", f"the body is not valid JSON: {error}", "invalid_json") from error
    if not isinstance(document, dict):
        raise wrong("body", "the body must be a JSON object", "invalid_json")
    if body.count(b"[") + body.count(b"{") > caps.json_depth and not _depth_within(document, caps.json_depth):
        raise wrong("body", f"the body is nested deeper than {caps.json_depth} levels", "invalid_json")
    return document
