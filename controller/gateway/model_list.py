"""`GET /v1/models`: every name that `model` may hold, in OpenAI's shape; built once."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import orjson

from controller.core.errors import RequestError
from controller.routing.choose import AUTO, RoutingTable


def _entry(name: str, owner: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


class ModelList:
    """The list, and each entry by its name."""

    def __init__(self, table: RoutingTable) -> None:
        entries = {AUTO: _entry(AUTO, "spillway")}
        for name in table.pools:
            entries[name] = _entry(name, "self-hosted")
        for model in table.models.values():
            usable = model.key in table.pool_by_model or model.provider in table.usable_providers
            if model.enabled and usable:
                for name in (model.key, model.model_id):
                    entries.setdefault(name, _entry(name, model.provider))
        self._whole = orjson.dumps({"object": "list", "data": list(entries.values())})
        self._single = {name.encode(): orjson.dumps(entry) for name, entry in entries.items()}

    def answer(self, name: bytes) -> bytes:
        """The whole list for an empty name, else that entry."""
        if not name:
            return self._whole
        found = self._single.get(unquote_to_bytes(name))
        if found is None:
            raise RequestError(
                "there is no such model; GET /v1/models lists what there is",
                status=404,
                code="model_not_found",
                param="model",
                should_retry=False,
            )
        return found
