"""A tenant's models and residency, from the key to the answer."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from controller.core.requests import Reach
from controller.core.tenants import TenantPolicy
from tests.gateway.gateway_world import BEARER, SETTINGS, World, whole
from tests.gateway.jumping_loop import jumping


def world_of(tenant: str = "acme", **policy: object) -> World:
    """A gateway at which this tenant has limits."""
    made = TenantPolicy(**policy)  # type: ignore[arg-type]
    return World(settings=replace(SETTINGS, tenants={tenant: made}))


SOME = Reach(models=frozenset({"llama-8b-self"}))
REFUSED = {
    "a model": (SOME, {"model": "gpt-4o-mini"}, "model_not_allowed", "gpt-4o-mini"),
    "auto": (replace(SOME, auto=False), {"model": "auto"}, "model_not_allowed", "auto"),
    "residency": (Reach(own_only=True), {"model": "gpt-6-luna"}, "residency", "residency"),
}


@pytest.mark.parametrize(("reach", "fields", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_request_out_of_reach(reach: Reach, fields: dict[str, object], code: str, words: str) -> None:
    """403 with a reason, not worth repeating; nobody was called, and it is in the books."""
    world = world_of(reach=reach)
    heard = world.heard(fields)
    assert (heard.status, heard.error["code"], heard.error["type"]) == (403, code, "permission_error")
    assert words in str(heard.error["message"])
    assert (heard.headers["x-should-retry"], heard.headers["x-spillway-error-source"]) == ("false", "gateway")
    assert (world.own.calls, world.external.calls) == ([], [])
    assert [entry.status for entry in world.ledger.posted] == [403]


def test_a_request_within_reach() -> None:
    """Goes where it may, although the same words would buy for others."""
    world = world_of(reach=SOME)
    world.own.script = [whole()]
    heard = world.heard({"model": "auto", "metadata": {"task": "critique"}})
    assert (heard.status, heard.headers["x-spillway-model"]) == (200, "llama-8b-self")


def test_everyone_is_everyone_without_a_policy_of_their_own() -> None:
    """`*` holds for this key's tenant; another tenant's does not."""
    assert world_of("*", reach=SOME).heard({"model": "gpt-4o-mini"}).status == 403
    bought = world_of("zoo", reach=SOME)
    bought.external.script = [whole()]
    assert bought.heard({"model": "gpt-4o-mini"}).status == 200


def test_a_full_house_does_not_open_the_door() -> None:
    """With every own replica gone, the requests of an own-only tenant wait for one: nothing is bought."""
    world = world_of(reach=Reach(own_only=True))
    world.own.script = [OSError("gone")]
    world.feed.now = replace(world.feed.now, pools={})
    heard = world.heard({"model": "llama-8b"})
    assert heard.status in (429, 503)
    assert "x-should-retry" not in heard.headers
    assert world.external.calls == []


def test_the_model_list_is_the_tenants() -> None:
    """Names out of reach are not there, one by one neither."""
    world = world_of(reach=SOME)
    listed = jumping(world.send(b"", path="/v1/models", method="GET", headers=(BEARER,)))
    names = [entry["id"] for entry in orjson.loads(listed.body)["data"]]
    assert names[:2] == ["auto", "llama-8b"]
    assert "gpt-4o" not in names
    hidden = jumping(world.send(b"", path="/v1/models/gpt-4o", method="GET", headers=(BEARER,)))
    assert (hidden.status, hidden.error["code"]) == (404, "model_not_found")
