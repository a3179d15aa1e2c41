"""Where calls go, with whose key, and what they cost at most."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.money import Price, Usage, cost_nanousd
from controller.core.requests import Operation, Target
from controller.core.secret import Secret
from controller.gateway.destinations import Destination, Destinations, TokenPrice
from controller.gateway.dialects.openai_caller import OPENAI_CALLER
from controller.telemetry.gateway_metrics import GatewayMetrics
from tests.gateway.gateway_builders import ANTHROPIC, BOUGHT, CLAUDE, GPT, OPENAI, OWN, decoded, destinations, named
from tests.gateway.gateway_world import ScriptedUpstream
from tests.routing.builders import TODAY

CLAUDE_TARGET = Target(model=CLAUDE, pool=None, provider=ANTHROPIC, reason="fallback")
OWN_UPSTREAM, EXTERNAL = ScriptedUpstream(), ScriptedUpstream()


def of(target: Target, operation: Operation = Operation.CHAT) -> Destination:
    """The destination."""
    known = Destinations(own=OWN_UPSTREAM, external=EXTERNAL, metrics=GatewayMetrics())
    assert known.of(target, operation) is known.of(target, operation)
    return known.of(target, operation)


def test_an_own_engine() -> None:
    """By the replica's address, vLLM's paths, and no key of anybody."""
    found = of(OWN)
    assert (found.base_url, found.path, found.is_own, found.is_anthropic) == (None, "/v1/chat/completions", True, False)
    assert found.upstream is OWN_UPSTREAM
    assert found.headers == (("content-type", "application/json"),)
    assert of(OWN, Operation.COMPLETION).path == "/v1/completions"
    assert of(OWN, Operation.EMBEDDINGS).path == "/v1/embeddings"


def test_providers_get_their_own_key_in_their_own_way() -> None:
    """And nobody else's; both go by the client for providers."""
    openai, anthropic = of(BOUGHT), of(CLAUDE_TARGET)
    assert (openai.base_url, openai.path) == ("http://openai.test/v1", "/chat/completions")
    assert dict(openai.headers_with(Secret("sk-openai"))) == {
        "content-type": "application/json",
        "authorization": "Bearer sk-openai",
    }
    assert (anthropic.base_url, anthropic.path) == ("http://anthropic.test/v1", "/messages")
    assert dict(anthropic.headers_with(Secret("sk-ant"))) == {
        "content-type": "application/json",
        "x-api-key": "sk-ant",
        "anthropic-version": "2023-06-01",
    }
    assert openai.upstream is anthropic.upstream is EXTERNAL


def test_the_stand_in_gets_no_real_key() -> None:
    """A simulated provider is labelled, and never learns a secret."""
    found = of(replace(BOUGHT, provider=named("openai", simulated=True)))
    assert found.simulated
    assert dict(found.headers_with(Secret("sk-secret")))["authorization"] == "Bearer simulated"


def test_the_dialect_of_the_target() -> None:
    """Bodies, streams and whole answers in the words of whoever is called; no temperature where it is refused."""
    request = decoded(max_tokens=5)
    assert orjson.loads(of(BOUGHT).body(request, 0.2))["temperature"] == 0.2
    fixed = replace(BOUGHT, model=replace(GPT, accepts_temperature=False))
    assert "temperature" not in orjson.loads(of(fixed).body(request, 0.2))
    assert orjson.loads(of(CLAUDE_TARGET).body(request, None)).keys() == {"model", "max_tokens", "messages"}
    assert type(of(BOUGHT).stream(request, OPENAI_CALLER, 7)) is not type(
        of(CLAUDE_TARGET).stream(request, OPENAI_CALLER, 7)
    )
    answer = b'{"content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":1,"output_tokens":1}}'
    assert b'"chat.completion"' in of(CLAUDE_TARGET).read_unary(answer, request, OPENAI_CALLER, 7)[0]


def price(fresh: Decimal, cached: Decimal, output: Decimal) -> Price:
    """A price list."""
    return Price(
        usd_per_mtok_in=fresh, usd_per_mtok_cached_in=cached, usd_per_mtok_out=output, source="test", as_of=TODAY
    )


amounts = st.decimals(0, 100, places=3) | st.decimals(0, 100, places=5)
counts = st.integers(0, 10**7)


usages = st.builds(Usage, input_tokens=counts, output_tokens=counts, cached_input_tokens=counts)


@given(st.builds(price, amounts, amounts, amounts), usages)
def test_token_prices_are_the_price_list(listed: Price, usage: Usage) -> None:
    """The fast integer arithmetic gives the very nano-USD of the price list, whole amounts per token or not."""
    assert TokenPrice(listed).cost(usage) == cost_nanousd(listed, usage)


MOST = {
    # what: request fields, target, tokens in and out at most
    "a token per byte and a template": ({"max_tokens": 5}, BOUGHT, (2 + 16, 5)),
    "as much as the model can write": ({}, BOUGHT, (2 + 16, 16_384)),
    "what Anthropic is told when nothing is said": ({}, CLAUDE_TARGET, (2 + 16, 4096)),
    "every choice": ({"max_tokens": 5, "n": 3}, BOUGHT, (2 + 16, 15)),
    "images": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "max_tokens": 5},
        BOUGHT,
        (2000 + 16, 5),
    ),
}


@pytest.mark.parametrize(("fields", "target", "most"), MOST.values(), ids=MOST.keys())
def test_the_most_a_call_can_cost(fields: dict[str, object], target: Target, most: tuple[int, int]) -> None:
    """What is set aside before a call is never less than what it can come to."""
    usage = Usage(input_tokens=most[0], output_tokens=most[1])
    assert of(target).most_nanousd(decoded(**fields)) == cost_nanousd(target.model.price, usage)


def test_embeddings_write_nothing() -> None:
    """Only their input costs."""
    request = decoded(Operation.EMBEDDINGS, input="abc")
    assert of(BOUGHT, Operation.EMBEDDINGS).most_nanousd(request) == cost_nanousd(
        GPT.price, Usage(input_tokens=3 + 16, output_tokens=0)
    )


def test_labels() -> None:
    """The headers that name model and target are made once."""
    assert destinations().of(BOUGHT, Operation.CHAT).labels == (
        (b"x-spillway-model", b"gpt-4o"),
        (b"x-spillway-target", OPENAI.name.encode()),
    )
