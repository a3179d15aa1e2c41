"""GET /v1/models: every name that `model` may hold, and no other."""

from __future__ import annotations

import orjson
import pytest
from openai.types import Model

from controller.core.errors import RequestError
from controller.core.models import Dialect
from controller.core.requests import Reach
from controller.gateway.model_list import ModelList
from tests.routing.builders import TABLE

LIST = ModelList(TABLE)


def entries() -> dict[str, Model]:
    """The list as the official client parses it."""
    document = orjson.loads(LIST.answer(b""))
    assert document["object"] == "list"
    models = [Model.model_validate(entry, strict=True) for entry in document["data"]]
    assert len({model.id for model in models}) == len(models), "a name stands there twice"
    return {model.id: model for model in models}


def test_what_is_listed() -> None:
    """auto, pools, and catalogue keys and model ids of everything that can be reached."""
    listed = entries()
    assert next(iter(listed)) == "auto"
    for name in ("auto", "llama-8b", "mixtral-8x7b", "gpt-4o", "gpt-4o-id", "llama-8b-self", "claude-now"):
        assert name in listed
    assert listed["auto"].owned_by == "spillway"
    assert listed["llama-8b"].owned_by == "self-hosted"
    assert listed["gpt-4o"].owned_by == "openai"


@pytest.mark.parametrize("name", ["off", "keyless", "orphan", "poolless-self"])
def test_what_is_not_listed(name: str) -> None:
    """Models switched off, without a key, without a provider, without a pool."""
    assert name not in entries()
    with pytest.raises(RequestError):
        LIST.answer(name.encode())


REACHES = {
    "some": (Reach(models=frozenset({"gpt-4o", "llama-8b-self"})), {"auto", "llama-8b", "gpt-4o", "gpt-4o-id"}),
    "no auto": (Reach(models=frozenset({"gpt-4o"}), auto=False), {"gpt-4o", "gpt-4o-id"}),
    "own": (Reach(own_only=True), {"auto", "llama-8b", "mixtral-8x7b", "mixtral-8x7b-self"}),
    "own of some": (Reach(models=frozenset({"gpt-4o", "llama-8b-self"}), own_only=True), {"auto", "llama-8b"}),
    "nothing": (Reach(models=frozenset({"keyless"}), auto=False), set()),
}
OWN_NAMES = {"llama-8b-self", "llama-8b-self-id"}


@pytest.mark.parametrize(("reach", "names"), REACHES.values(), ids=REACHES.keys())
def test_a_tenant_sees_what_it_may_use(reach: Reach, names: set[str]) -> None:
    """In both shapes; other entries are not there at all."""
    document = orjson.loads(LIST.answer(b"", reach=reach))
    listed = {entry["id"] for entry in document["data"]} - OWN_NAMES - {"mixtral-8x7b-self-id"}
    assert listed == names
    cards = orjson.loads(LIST.answer(b"", Dialect.ANTHROPIC, reach))
    assert [card["id"] for card in cards["data"]] == [entry["id"] for entry in document["data"]]
    assert cards["last_id"] == (document["data"][-1]["id"] if names else None)
    with pytest.raises(RequestError):
        LIST.answer(b"claude-now", reach=reach)


@pytest.mark.parametrize("name", [b"gpt-4o", b"gpt%2D4o", b"llama-8b"])
def test_one_entry(name: bytes) -> None:
    """By its name, percent-encoded or not."""
    assert orjson.loads(LIST.answer(name))["id"] == name.replace(b"%2D", b"-").decode()


@pytest.mark.parametrize("name", [b"nothing", b"%", b"%ff", b"gpt-4o/", b"../models", b"GPT-4O"])
def test_an_unknown_entry(name: bytes) -> None:
    """404 in the words of the SDK."""
    with pytest.raises(RequestError, match="there is no such model") as caught:
        LIST.answer(name)
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")
