"""`GET /v1/models`: every name that `model` may hold, in OpenAI's shape; built once."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import orjson

from controller.core.errors import RequestError
from controller.core.models import Dialect
from controller.routing.choose import AUTO, RoutingTable


def _entry(name: str, owner: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _card(name: str) -> dict[str, object]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


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
        cards = [_card(name) for name in entries]
        ends = {"has_more": False, "first_id": cards[0]["id"], "last_id": cards[-1]["id"]}
        self._cards = orjson.dumps({"data": cards, **ends})
        self._card = {str(card["id"]).encode(): orjson.dumps(card) for card in cards}

    def answer(self, name: bytes, dialect: Dialect = Dialect.OPENAI) -> bytes:
        """The whole list for an empty name, else that entry; in Anthropic's shape for its callers."""
        is_anthropic = dialect is Dialect.ANTHROPIC
        if not name:
            return self._cards if is_anthropic else self._whole
        found = (self._card if is_anthropic else self._single).get(unquote_to_bytes(name))
        if found is None:
            raise RequestError(
                "there is no such model; GET /v1/models lists what there is",
                status=404,
                code="model_not_found",
                param="model",
                should_retry=False,
            )
        return found
