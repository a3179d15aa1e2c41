"""`GET /v1/models`: every name that `model` may hold, as far as the tenant may use it; built once."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import orjson

from controller.core.errors import RequestError
from controller.core.models import Dialect
from controller.core.requests import ANYWHERE, Reach
from controller.routing.table import AUTO, RoutingTable, permits


def _entry(name: str, owner: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _card(name: str) -> dict[str, object]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


class _Listed:
    """The names of one reach, in both shapes."""

    def __init__(self, entries: dict[str, dict[str, object]]) -> None:
        cards = [_card(name) for name in entries]
        first, last = (cards[0]["id"], cards[-1]["id"]) if cards else (None, None)
        ends = {"has_more": False, "first_id": first, "last_id": last}
        self.whole = {
            Dialect.OPENAI: orjson.dumps({"object": "list", "data": list(entries.values())}),
            Dialect.ANTHROPIC: orjson.dumps({"data": cards, **ends}),
        }
        self.single = {
            Dialect.OPENAI: {name.encode(): orjson.dumps(entry) for name, entry in entries.items()},
            Dialect.ANTHROPIC: {str(card["id"]).encode(): orjson.dumps(card) for card in cards},
        }


class ModelList:
    """The list, and each entry by its name; one of each for every reach that the configuration has."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._listed: dict[Reach, _Listed] = {}

    def answer(self, name: bytes, dialect: Dialect = Dialect.OPENAI, reach: Reach = ANYWHERE) -> bytes:
        """The whole list for an empty name, else that entry; in Anthropic's shape for its callers."""
        listed = self._listed.get(reach)
        if listed is None:
            listed = self._listed[reach] = _Listed(self._entries(reach))
        if not name:
            return listed.whole[dialect]
        found = listed.single[dialect].get(unquote_to_bytes(name))
        if found is None:
            raise RequestError(
                "there is no such model; GET /v1/models lists what there is",
                status=404,
                code="model_not_found",
                param="model",
                should_retry=False,
            )
        return found

    def _entries(self, reach: Reach) -> dict[str, dict[str, object]]:
        table = self._table
        entries = {AUTO: _entry(AUTO, "spillway")} if reach.auto else {}
        for pool in table.pools.values():
            if permits(reach, pool.model):
                entries[pool.name] = _entry(pool.name, "self-hosted")
        for model in table.models.values():
            own = model.key in table.pool_by_model
            usable = own or (model.provider in table.usable_providers and not reach.own_only)
            if model.enabled and usable and permits(reach, model.key):
                for name in (model.key, model.model_id):
                    entries.setdefault(name, _entry(name, model.provider))
        return entries
