"""`spillway route explain`: what the gateway would do with a request, told without sending it or showing its text."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from explained import CHAT, KEYS, NEVER, SECRET, explain
from published import fleet, publish
from published import run as run_command

from controller.cli import route
from controller.cli.leftovers import identity, write_record
from controller.cli.overrides import STANDIN_URL
from controller.cli.wiring import settings_from
from controller.core.fleet import RoutingMode
from controller.core.money import Usage, cost_nanousd, usd

pytestmark = pytest.mark.usefixtures("bare")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(b"x").decode()}}
TOOL = {"type": "function", "function": {"name": "f"}}


def data(document: object, *arguments: str) -> dict[str, object]:
    """The same as data."""
    result = explain(document, *arguments, "--json")
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    assert (found["schema"], found["kind"]) == ("spillway.dev/cli/v1", "route")
    explained: dict[str, object] = found["data"]
    return explained


def models(explained: dict[str, object]) -> list[str]:
    """The chain by catalogue key."""
    chain = explained["chain"]
    assert isinstance(chain, list)
    return [link["model"] for link in chain]


def test_it_tells_the_whole_way(tmp_path: Path) -> None:
    """From a file: profile, chain with model ids and prices, and why; nothing of the text."""
    file = tmp_path / "request.json"
    file.write_text(json.dumps({**CHAT, "stream": True}))
    result = run_command(route.register, "route", "explain", str(file), "--phase", "phase3")
    assert result.exit_code == 0
    assert SECRET not in result.output
    for words in (
        "chat, model auto, streamed",
        "simple, guessed from its size and shape",
        "text only",
        "about 6 in, 50 out",
        "1. pool llama-8b  llama-3.1-8b-instruct",
        "at the planning price of $0.03 in, $0.03 out per Mtok",
        "because phase3: simple",
        "2. groq (simulated)  openai/gpt-oss-20b",
        "at the list price of $0.075 in, $0.3 out per Mtok",
        "because spill of llama-8b",
    ):
        assert words in result.stdout
    assert "simulated stand-ins that `spillway up` would start" in result.stderr
    assert "nothing runs here" in result.stderr


@pytest.mark.parametrize(
    ("fields", "arguments", "expected"),
    [
        pytest.param({}, (), {"complexity": "simple", "complexity_source": "heuristic", "task": None}, id="guessed"),
        pytest.param(
            {"metadata": {"task": "critique"}}, (),
            {"task": "critique", "task_tier": 3, "complexity": "critical", "complexity_source": "task"}, id="metadata",
        ),
        pytest.param(
            {}, ("--header", "x-spillway-task: critique", "--header", "X-Spillway-Complexity: medium"),
            {"task": "critique", "complexity": "medium", "complexity_source": "explicit"}, id="by headers",
        ),
        pytest.param({"messages": [{"role": "user", "content": [IMAGE]}]}, (), {"needs_vision": True}, id="vision"),
        pytest.param({"tools": [TOOL]}, (), {"needs_tools": True}, id="tools"),
        pytest.param({"response_format": {"type": "json_object"}}, (), {"needs_json": True}, id="JSON"),
        pytest.param({}, ("--phase", "phase2.5"), {"phase": "phase2.5"}, id="phase"),
        pytest.param({}, (*NEVER, "--phase", "phase3"), {"spill_allowed": False}, id="never"),
        pytest.param({"max_tokens": None}, (), {"output_tokens": 128, "input_tokens": 6}, id="estimated tokens"),
    ],
)  # fmt: skip
def test_the_profile_is_the_gateways(
    fields: dict[str, object], arguments: tuple[str, ...], expected: dict[str, object]
) -> None:
    """Task, complexity and where it came from, needs, tokens."""
    explained = data({**CHAT, **fields}, *arguments)
    assert {name: explained[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("document", "operation"),
    [
        (CHAT, "chat"),
        ({"model": "gpt-4o-mini", "prompt": SECRET}, "completion"),
        ({"model": "text-embedding-3-small", "input": SECRET}, "embeddings"),
    ],
)
def test_the_api_is_told_by_the_fields(document: dict[str, object], operation: str) -> None:
    """Or by --operation."""
    assert data(document)["operation"] == operation
    assert data({**document, "messages": CHAT["messages"]}, "--operation", operation)["operation"] == operation


def test_the_cost_is_exact_text() -> None:
    """Estimated tokens at the price, for every choice asked for."""
    link = data({**CHAT, "n": 3, "model": "gpt-6-luna"})["chain"][0]  # type: ignore[index]
    price = settings_from(None, None).models["gpt-6-luna"].price
    cost = usd(cost_nanousd(price, Usage(input_tokens=6, output_tokens=150)))
    assert Decimal(link["estimated_cost_usd"]) == cost
    assert (Decimal(link["usd_per_mtok_in"]), link["kind"]) == (price.usd_per_mtok_in, "external")
    assert link["price_as_of"] == price.as_of.isoformat()


def test_what_was_passed_over_says_why() -> None:
    """Models that cannot, links that have no word for it, and what the caller forbids."""
    long = {**CHAT, "messages": [{"role": "user", "content": "word " * 40_000}], "model": "llama-8b"}
    assert "context of 8192 tokens is too short" in str(data(long)["passed_over"])
    twice = data({**CHAT, "n": 2, "metadata": {"task": "critique"}})
    assert twice["chain"][0]["passed_over_now"] == "its API has no word for n > 1"  # type: ignore[index]
    own = data({**CHAT, "model": "llama-8b"}, *NEVER)
    assert models(own) == ["llama-8b-self"]
    assert {row["reason"] for row in own["passed_over"]} == {"x-spillway-spill: never forbids it"}  # type: ignore[attr-defined]
    text = explain({**CHAT, "model": "llama-8b"}, *NEVER).stdout
    assert "Passed over\n  gpt-oss-20b-groq: x-spillway-spill: never forbids it" in text


TENANTS = """\
tenants:
  "*": {models: [auto, llama-8b, gpt-6-luna]}
  house: {models: null, residency: own, priority: batch}
"""


def test_a_tenants_limits_are_explained(tmp_path: Path) -> None:
    """Whose request it is matters to the chain, and each link that is missing for it says so."""
    config = tmp_path / "spillway.yaml"
    config.write_text(TENANTS)
    given = ("--config", str(config), "--phase", "phase3")
    everyone = data(CHAT, *given)
    assert models(everyone) == ["llama-8b-self", "gpt-6-luna"]
    assert "not among the models of this tenant" in str(everyone["passed_over"])
    house = data(CHAT, *given, "--tenant", "house", "--header", "x-spillway-priority: interactive")
    assert (house["tenant"], house["priority"], house["own_gpus_only"]) == ("house", "batch", True)
    assert {link["kind"] for link in house["chain"]} == {"own"}  # type: ignore[attr-defined]
    assert "outside of own GPUs" in str(house["passed_over"])
    text = explain(CHAT, *given, "--tenant", "house").stdout
    assert "own pools only" in text
    assert "tenant      house, priority batch" in text


@pytest.mark.parametrize(
    ("mode", "ratio", "first", "words"),
    [
        pytest.param(RoutingMode.LOCAL, 0.0, "llama-8b-self", "phase3: simple", id="local"),
        pytest.param(RoutingMode.EXTERNAL, 1.0, "gpt-oss-20b-groq", "pool llama-8b is External", id="external"),
        pytest.param(RoutingMode.SPILLING, 0.3, "llama-8b-self", "phase3: simple", id="spills some"),
        pytest.param(RoutingMode.SPILLING, 0.7, "gpt-oss-20b-groq", "pool llama-8b is spilling", id="spills most"),
    ],
)
def test_the_published_routing_orders_the_chain(
    tmp_path: Path, mode: RoutingMode, ratio: float, first: str, words: str
) -> None:
    """As a gateway would that reads the same view; a pool that spills says how much."""
    view = fleet()
    pool = replace(view.pools["llama-8b"], mode=mode, spill_ratio=ratio)
    publish(tmp_path / ".spillway", replace(view, pools={**view.pools, "llama-8b": pool}))
    explained = data(CHAT, "--phase", "phase3")
    assert models(explained)[0] == first
    assert words in explained["chain"][0]["reason"]  # type: ignore[index]
    assert (f"pool llama-8b spills {ratio:.0%}" in str(explained["notes"])) is (mode is RoutingMode.SPILLING)


def test_a_pool_without_a_ready_replica_is_passed_over_now(tmp_path: Path) -> None:
    """Only a view that is fresh can tell; an old one tells nothing."""
    view = fleet()
    empty = replace(view, pools={**view.pools, "llama-8b": replace(view.pools["llama-8b"], replicas=())})
    publish(tmp_path / ".spillway", empty)
    asked = {**CHAT, "model": "llama-8b"}
    assert data(asked)["chain"][0]["passed_over_now"] == "no replica is ready"  # type: ignore[index]
    publish(tmp_path / ".spillway", replace(empty, published_at_s=empty.published_at_s - 3600.0))
    late = data(asked)
    assert late["chain"][0]["passed_over_now"] is None  # type: ignore[index]
    assert "nothing runs here any more" in str(late["notes"])


def test_a_running_system_is_believed(tmp_path: Path) -> None:
    """While `up` runs its stand-in answers for what lacks a key; no note about what would be."""
    publish(tmp_path / ".spillway", fleet(age_s=3600.0))
    record = {**(identity(os.getpid()) or {}), "overrides": {STANDIN_URL: "http://127.0.0.1:9"}}
    write_record(tmp_path / ".spillway" / "run" / "up.json", record)
    explained = data(CHAT)
    assert explained["notes"] == []
    assert explained["chain"][0]["simulated"] is True  # type: ignore[index]


def test_with_keys_the_real_providers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is simulated that has a key; the key is not shown."""
    for name in KEYS:
        monkeypatch.setenv(name, "sk-secret")
    result = explain(CHAT)
    assert "simulated" not in result.output
    assert "sk-secret" not in result.output


@pytest.mark.parametrize("command", [(), ("explain",)])
def test_help_shows_an_example(command: tuple[str, ...]) -> None:
    """Both levels answer."""
    result = run_command(route.register, "route", *command, "--help")
    assert result.exit_code == 0
    assert not command or "Example" in result.stdout
