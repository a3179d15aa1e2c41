"""How the API server joins objects: merge patches, server-side apply, the scale subresource, its errors. Pure."""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]


def status_error(code: int, reason: str, message: str) -> Json:
    """The body of an error."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


class Refused(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.body = status, status_error(status, reason, message)


def scale_of(item: Json) -> Json:
    """The scale subresource of a Deployment."""
    metadata = {name: item["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": item["spec"].get("replicas", 1)},
        "status": {"replicas": (item.get("status") or {}).get("replicas", 0)},
    }


def merged(now: Json, patch: Json) -> Json:
    """A merge patch as RFC 7386 has it: null removes, objects merge, all else replaces."""
    result = copy.deepcopy(now)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            before = result.get(name)
            result[name] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def without(now: Json, before: Json, given: Json) -> Json:
    """What is left once a manager's fields that it says no longer are gone."""
    result = dict(now)
    for name, value in before.items():
        if name in {"apiVersion", "kind", "name", "namespace", "resourceVersion"}:
            continue
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            rest = without(result[name], value, given.get(name) or {})
            if rest or name in given:
                result[name] = rest
            else:
                result.pop(name)
        elif name not in given:
            result.pop(name, None)
    return result


def applied(now: Json, given: Json, before: Json, part: str) -> Json:
    """The object after server-side apply of `given` by one whose last word was `before`."""
    wanted = {"status": given["status"]} if part == "status" else {k: v for k, v in given.items() if k != "status"}
    wanted.get("metadata", {}).pop("resourceVersion", None)
    return merged(without(copy.deepcopy(now), before, given), wanted)


def has_field(source: object, path: tuple[str, ...]) -> bool:
    """Whether there is something at that path."""
    for name in path:
        if not isinstance(source, dict) or name not in source:
            return False
        source = source[name]
    return True
