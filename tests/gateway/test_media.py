"""What own engines may be made to fetch: nothing, but from hosts that an operator listed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from controller.core.secret import Secret
from controller.gateway.decode import NotTranslatable
from controller.gateway.media import check_parts
from tests.gateway.gateway_world import SETTINGS, World, whole

HOSTS = frozenset({"images.example.com"})
DATA = "data:image/png;base64,aGk="


def document(*parts: object) -> dict[str, Any]:
    """A chat request of one user message."""
    return {"messages": [{"role": "user", "content": list(parts)}]}


def image(url: object) -> dict[str, object]:
    """An image part."""
    return {"type": "image_url", "image_url": {"url": url}}


ALLOWED = [DATA, "https://images.example.com/a.png", "http://images.example.com:8080/a.png?x=1"]
REFUSED = [
    "https://example.com/a.png",
    "http://169.254.169.254/latest/meta-data",
    "http://127.0.0.1:8000/v1/models",
    "http://[fd00:ec2::254]/",
    "http://100.64.0.1/",
    "https://images.example.com.evil.example/a.png",
    "https://images.example.com@169.254.169.254/",
    "https://169.254.169.254#@images.example.com/",
    "https://169.254.169.254\\@images.example.com/",
    "https://images.example.com\t@evil.example/",
    "file:///etc/passwd",
    "ftp://images.example.com/a.png",
    "https://IMAGES.example.com.:80/",
    "http://[",
    "",
    7,
    None,
]


@pytest.mark.parametrize("url", ALLOWED)
def test_what_an_own_engine_may_have(url: str) -> None:
    """Data, and addresses of listed hosts."""
    check_parts(document(image(url)), frozenset({"image_url"}), HOSTS, is_own=True)


@pytest.mark.parametrize("url", REFUSED, ids=str)
def test_what_an_own_engine_may_not_fetch(url: object) -> None:
    """Everything else, however it is written; a provider may get it."""
    with pytest.raises(NotTranslatable, match="media_hosts"):
        check_parts(document(image(url)), frozenset({"image_url"}), HOSTS, is_own=True)
    check_parts(document(image(url)), frozenset({"image_url"}), frozenset(), is_own=False)


@pytest.mark.parametrize("kind", ["video_url", "audio_url", "image_embeds", "prompt_embeds", "x" * 100])
def test_other_parts(kind: str) -> None:
    """Go nowhere that is not known to take them."""
    for is_own in (True, False):
        with pytest.raises(NotTranslatable, match=kind[:40]):
            check_parts(document({"type": kind}), frozenset({kind}), HOSTS, is_own=is_own)


def test_a_plain_string_is_an_address_too() -> None:
    """As some callers write it."""
    asked = document({"type": "image_url", "image_url": "http://127.0.0.1/"}, {"type": "text", "text": "?"})
    with pytest.raises(NotTranslatable):
        check_parts(asked, frozenset({"image_url"}), HOSTS, is_own=True)


def test_nothing_of_it_reaches_an_engine() -> None:
    """A caller who insists on own pools is refused; the engine was not called."""
    world = World(settings=replace(SETTINGS, gateway=replace(SETTINGS.gateway, media_hosts=HOSTS)))
    part = {"type": "video_url", "video_url": {"url": "http://169.254.169.254/"}}
    world.external.script = [whole() for _ in range(4)]
    heard = world.heard(document(part))
    assert not world.own.calls
    assert all(b"169.254" not in call.body for call in world.external.calls)
    assert (heard.status, heard.error["code"]) == (400, "not_translatable")


@pytest.mark.parametrize("kind", [7, [], {}])
def test_a_part_without_a_proper_type(kind: object) -> None:
    """400, naming it."""
    heard = World().heard(document({"type": kind}))
    assert (heard.status, heard.error["param"]) == (400, "messages[0].content.type")


def test_own_engines_are_shown_their_key() -> None:
    """And providers never see it."""
    world = World(engine_key=Secret("k-engine"))
    world.own.script = [whole()]
    world.heard({})
    assert ("authorization", "Bearer k-engine") in world.own.calls[0].headers
    world.external.script = [whole()]
    world.heard({"model": "gpt-4o"})
    assert "k-engine" not in str(world.external.calls[0].headers)
    assert b"k-engine" not in orjson.dumps(str(world.gateway.metrics))
