"""A provider that answers 200 and then sends an error event: first, and in the middle."""

from __future__ import annotations

import pytest

from controller.gateway.exchange import Skip
from tests.gateway.gateway_builders import SetFleet, fleet
from tests.gateway.gateway_world import DONE, EVENT, LAST, World, stream

OVERLOADED = b'data: {"error":{"message":"busy","type":"server_error","code":"server_is_overloaded"}}\n\n'


def away() -> World:
    """No own replica: the chain is external."""
    return World(feed=SetFleet(fleet()))


def test_an_error_event_first_goes_elsewhere() -> None:
    """The caller hears nothing of it; what was set aside for it is given back."""
    world = away()
    world.external.script = [stream(OVERLOADED), stream(EVENT, LAST, DONE)]
    heard = world.heard({"stream": True})
    assert (heard.status, heard.body, heard.headers["x-spillway-attempts"]) == (200, EVENT + LAST + DONE, "2")
    assert len({call.base_url for call in world.external.calls}) == 2
    assert world.ledger.reserved == {}


def test_an_error_event_in_the_middle_ends_the_stream() -> None:
    """With an error event and without [DONE]; what came is billed, and nobody else is asked."""
    world = away()
    world.external.script = [stream(EVENT, EVENT, OVERLOADED)]
    heard = world.heard({"stream": True})
    assert heard.status == 200
    assert heard.body.startswith(EVENT + EVENT + b'data: {"error":{')
    assert DONE not in heard.body
    assert len(world.external.calls) == 1
    entry = world.ledger.posted[0]
    assert entry.usage.output_tokens > 0
    assert entry.usage.estimated
    assert entry.cost_nanousd > 0


@pytest.mark.parametrize("before", [(), (EVENT,)], ids=["first", "middle"])
def test_error_events_count_against_the_provider(before: tuple[bytes, ...]) -> None:
    """Five of them, and it is left alone for a while."""
    world = away()
    provider = world.settings.providers["openai"]
    for _ in range(5):
        world.external.script = [stream(*before, OVERLOADED) for _ in range(5)]
        world.heard({"stream": True, "model": "gpt-4o"})
    found = world.gateway.credentials.pick(provider, 0, 100.0)
    assert isinstance(found, Skip)
    assert found.code == "breaker"
