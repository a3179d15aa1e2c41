"""The prefix caches of tenants are kept apart."""

from __future__ import annotations

import orjson
import pytest

from controller.gateway.cache_salts import SALTS_KEPT, CacheSalts
from tests.gateway.gateway_world import World, whole

PEPPER = b"p" * 32


def salt(tenant: str, pepper: bytes = PEPPER, body: bytes = b'{"model":"m"}') -> str:
    """What the engine reads."""
    document = orjson.loads(CacheSalts(pepper).salted(body, tenant))
    assert document.pop("model") == "m"
    return str(document["cache_salt"])


def test_one_salt_per_tenant_and_pepper() -> None:
    """256 bits that gateways agree on and nobody else can work out."""
    assert salt("acme") == salt("acme")
    assert len(bytes.fromhex(salt("acme"))) == 32
    assert len({salt("acme"), salt("other"), salt("acme", b"q" * 32), salt("acme", b"")}) == 4


@pytest.mark.parametrize("body", [b' \n{"model":"m"}', b'{ "model" : "m" }'])
def test_whatever_the_caller_s_bytes_look_like(body: bytes) -> None:
    """Space before and inside the object does no harm."""
    assert salt("acme", body=body) == salt("acme")


def test_salts_are_bounded() -> None:
    """More tenants than are kept: the same salts all the same."""
    salts = CacheSalts(PEPPER)
    first = salts.field("t0")
    for number in range(SALTS_KEPT + 1):
        salts.field(f"t{number}")
    assert salts.field("t0") == first


def test_own_engines_get_the_tenant_s_salt_and_providers_none() -> None:
    """A caller's own choice of it goes nowhere, or one tenant could ask for another's cache."""
    world = World()
    world.own.script = [whole(), whole()]
    assert world.heard({"cache_salt": "stolen"}).status == 200
    assert world.heard().status == 200
    bodies = [orjson.loads(call.body) for call in world.own.calls]
    assert bodies[0]["cache_salt"] == bodies[1]["cache_salt"] != "stolen"
    assert [raw.body.count(b"cache_salt") for raw in world.own.calls] == [1, 1]
    world.external.script = [whole()]
    assert world.heard({"model": "gpt-4o-mini", "cache_salt": "stolen"}).status == 200
    assert b"cache_salt" not in world.external.calls[0].body
