"""`spillway config schema`: the JSON Schema that editors check spillway.yaml with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import typer
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from controller.cli import config
from controller.config.json_schema import json_schema

VALIDATOR = Draft202012Validator(json_schema())
ARCHITECTURE = {"hf_id": "a/b", "parameters": 8_000_000_000, "layers": 32, "kv_heads": 8, "head_dim": 128}


def _run(*arguments: str) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    config.register(app)
    return CliRunner().invoke(app, ["config", "schema", *arguments])


def _pool(**fields: object) -> dict[str, object]:
    return {"pools": [{"name": "a", "model": "llama-8b-self", **fields}]}


def test_the_schema_is_printed_bare_or_wrapped() -> None:
    """Bare for editors, wrapped like every other document with --json."""
    bare = json.loads(_run().stdout)
    wrapped = json.loads(_run("--json").stdout)
    assert (wrapped["schema"], wrapped["kind"]) == ("spillway.dev/cli/v1", "config-schema")
    assert bare == wrapped["data"] == json_schema()
    assert (bare["$schema"], bare["title"]) == ("https://json-schema.org/draft/2020-12/schema", "spillway.yaml")
    Draft202012Validator.check_schema(bare)


@pytest.mark.parametrize("name", ["default.yaml", "demo.yaml"])
def test_the_shipped_configurations_are_valid(name: str) -> None:
    """By the schema too."""
    content = yaml.safe_load(files("controller.config").joinpath(name).read_text(encoding="utf-8"))
    assert list(VALIDATOR.iter_errors(content)) == []


@pytest.mark.parametrize(
    "content",
    [
        {"zzz": 1},
        {"gateway": {"zzz": 1}},
        {"gateway": {"caps": {"zzz": 1}}},
        {"gateway": {"timeouts": {"zzz": 1}}},
        {"controller": {"zzz": 1}},
        {"models": {"gpt-4o": {"zzz": 1}}},
        {"models": {"own": {"architecture": {**ARCHITECTURE, "zzz": 1}}}},
        {"providers": {"openai": {"zzz": 1}}},
        _pool(zzz=1),
        _pool(engine={"zzz": 1}),
        _pool(slo={"zzz": 1}),
        _pool(replicas={"zzz": 1}),
        _pool(autoscale={"zzz": 1}),
        _pool(spill={"zzz": 1}),
        {"rules": {"default_model": "gpt-4o", "zzz": 1}},
        {"rules": {"default_model": "gpt-4o", "table": [{"model": "gpt-4o", "zzz": 1}]}},
        {"budgets": {"zzz": 1}},
        {"tenants": {"acme": {"zzz": 1}}},
    ],
    ids=[
        "top", "gateway", "caps", "timeouts", "controller", "model", "architecture", "provider", "pool", "engine",
        "slo", "replicas", "autoscale", "spill", "rules", "rule", "budgets", "tenant",
    ],
)  # fmt: skip
def test_unknown_keys_are_refused_in_every_section(content: dict[str, object]) -> None:
    """For that reason alone."""
    (error,) = VALIDATOR.iter_errors(content)
    assert "'zzz'" in error.message or any("'zzz'" in inner.message for inner in error.context or ())


@pytest.mark.parametrize(
    "content",
    [
        {"phase": "phase4"},
        {"gateway": {"port": 0}},
        {"gateway": {"port": "8080"}},
        {"pools": {}},
        _pool(engine={"tensor_parallel": 3}),
        _pool(endpoints=["gpu-1:8000"]),
        _pool(endpoints=["http://gpu-1:65536"]),
        {"providers": {"openai": {"base_url": "https://me:pw@api.example.com"}}},
        {"budgets": {"usd_per_day": {"acme": -1}}},
        {"rules": {}},
    ],
    ids=[
        "phase", "port", "port-text", "pools", "parallel", "endpoint", "endpoint-port", "credentials", "budget", "rules"
    ],
)  # fmt: skip
def test_an_editor_sees_wrong_values(content: dict[str, object]) -> None:
    """As `spillway config validate` does."""
    assert list(VALIDATOR.iter_errors(content))


def _numbers(node: object, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if node.get("type") in {"integer", "number"} and "enum" not in node:
            yield path, node
        for key, item in node.items():
            yield from _numbers(item, f"{path}/{key}")
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _numbers(item, f"{path}/{index}")


def test_every_number_has_bounds() -> None:
    """Below and above."""
    found = dict(_numbers(json_schema()))
    assert len(found) > 40
    unbounded = [
        path
        for path, node in found.items()
        if not ({"minimum", "exclusiveMinimum"} & node.keys() and {"maximum", "exclusiveMaximum"} & node.keys())
    ]
    assert unbounded == []
