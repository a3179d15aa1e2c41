"""One truth in three places: the CRD, the pydantic models beside it, and spillway.yaml's bounds in the CRD's units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pool_cases import crd, schema, stored
from pydantic import BaseModel

from controller.config.build import pool_of
from controller.config.schema import PoolSection
from controller.modelpool.schema import PinPart, PoolSpec
from controller.modelpool.spelling import document_of
from controller.modelpool.translate import translated

SPEC = schema()["properties"]["spec"]["properties"]
BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "maxItems", "pattern")


def _resolved(node: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    if "anyOf" in node:
        real = next(one for one in node["anyOf"] if one.get("type") != "null")
        return {**_resolved(real, whole), "default": node.get("default")}
    if "$ref" in node:
        return {**whole["$defs"][node["$ref"].rsplit("/", 1)[-1]], **{k: v for k, v in node.items() if k != "$ref"}}
    return node


def _pydantic(model: type[BaseModel]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every leaf of a pydantic model, by its path."""
    whole = model.model_json_schema()

    def walk(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, below in node.get("properties", {}).items():
            found = _resolved(below, whole)
            yield from walk(found, f"{path}{name}.") if "properties" in found else [(f"{path}{name}", found)]

    return walk(whole, "")


def _defined(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every leaf of the CRD's spec, by its path."""
    for name, below in node.items():
        if "properties" in below:
            yield from _defined(below["properties"], f"{path}{name}.")
        else:
            yield f"{path}{name}", below


def _pinned(fields: Iterator[tuple[str, Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    return {f"pin.{path}": node for path, node in fields}


DEFINED = dict(_defined(SPEC))
MODELLED = {**dict(_pydantic(PoolSpec)), **_pinned(_pydantic(PinPart))}


def test_crd_and_models_have_the_same_fields() -> None:
    """Neither has one that the other lacks."""
    assert set(DEFINED) == set(MODELLED)


@pytest.mark.parametrize("path", sorted(DEFINED))
def test_crd_and_models_have_the_same_bounds(path: str) -> None:
    """Type, default, choices and bounds of each field."""
    defined, modelled = DEFINED[path], MODELLED[path]
    choices = modelled.get("enum", [modelled["const"]] if "const" in modelled else None)
    assert defined.get("enum") == choices
    assert defined.get("default") == modelled.get("default")
    assert defined["type"] == modelled["type"]
    if defined.get("format") != "date-time":
        assert {name: defined.get(name) for name in BOUNDS} == {name: modelled.get(name) for name in BOUNDS}


def _numbers(node: Mapping[str, Any]) -> tuple[object, object]:
    return node.get("minimum", node.get("exclusiveMinimum")), node.get("maximum")


SECTIONS = dict(_pydantic(PoolSection))
UNITS = {  # spillway.yaml's field: the CRD's, and how many of its units are one there
    "engine.gpu_memory_utilization_ratio": ("engine.gpuMemoryUtilizationPercent", 100),
    "slo.ttft_p95_s": ("slo.ttftP95Milliseconds", 1000),
    "slo.tpot_p95_s": ("slo.tpotP95Milliseconds", 1000),
    "autoscale.home_use_ratio": ("autoscale.homeUsePercent", 100),
    "autoscale.start_patience_ratio": ("autoscale.startPatiencePercent", 100),
    "autoscale.target_utilization_ratio": ("autoscale.targetUtilizationPercent", 100),
    "autoscale.cold_start_s": ("autoscale.coldStartSeconds", 1),
    "autoscale.scale_down_cooldown_s": ("autoscale.scaleDownCooldownSeconds", 1),
    "autoscale.drain_deadline_s": ("autoscale.drainDeadlineSeconds", 1),
    "autoscale.max_actions_per_hour": ("autoscale.maxActionsPerHour", 1),
    "spill.enter_saturation_ratio": ("spill.enterSaturationPercent", 100),
    "spill.exit_saturation_ratio": ("spill.exitSaturationPercent", 100),
    "spill.min_dwell_s": ("spill.minDwellSeconds", 1),
    "spill.return_ramp_ratio_per_s": ("spill.returnRampPercentPerSecond", 100),
    "replicas.min": ("replicas.min", 1),
    "replicas.max": ("replicas.max", 1),
    "engine.max_model_len_tokens": ("engine.maxModelLenTokens", 1),
    "engine.max_num_seqs": ("engine.maxNumSeqs", 1),
    "engine.max_num_batched_tokens": ("engine.maxNumBatchedTokens", 1),
}


@pytest.mark.parametrize("field", sorted(UNITS))
def test_bounds_are_those_of_spillway_yaml(field: str) -> None:
    """The same range in other units; what is above nothing there begins at one unit here."""
    path, per_one = UNITS[field]
    section, defined = SECTIONS[field], DEFINED[path]
    low, high = _numbers(section)
    assert defined["maximum"] == round(float(str(high)) * per_one)
    assert defined["minimum"] == max(round(float(str(low)) * per_one), 1 if "exclusiveMinimum" in section else 0)


def test_defaults_are_those_of_spillway_yaml() -> None:
    """The least ModelPool is the least pool of the file."""
    found, problems = translated("a", stored("a"), document_of("a"))
    assert problems == ()
    assert found is not None
    assert found.pool == pool_of(PoolSection(name="a", model="llama-8b-self"))
    assert (found.deployment, found.port, found.says_budget) == ("a", 8000, False)


def test_every_field_reaches_the_pool() -> None:
    """Each in the unit of the values inside."""
    spec = {
        "model": "mixtral-8x7b-self",
        "instanceType": "p4d.24xlarge",
        "nodePool": "p4d",
        "engine": {
            "tensorParallel": 4,
            "maxModelLenTokens": 4096,
            "maxNumSeqs": 32,
            "maxNumBatchedTokens": 1024,
            "gpuMemoryUtilizationPercent": 92,
            "weights": "Int8",
            "blockSizeTokens": 32,
            "port": 8001,
        },
        "slo": {"ttftP95Milliseconds": 800, "tpotP95Milliseconds": 50},
        "replicas": {"min": 2, "max": 6},
        "autoscale": {
            "homeUsePercent": 40,
            "startPatiencePercent": 150,
            "targetUtilizationPercent": 90,
            "coldStartSeconds": 60,
            "scaleDownCooldownSeconds": 120,
            "drainDeadlineSeconds": 30,
            "maxActionsPerHour": 12,
        },
        "spill": {
            "to": ["gpt-6-terra"],
            "enterSaturationPercent": 85,
            "exitSaturationPercent": 55,
            "minDwellSeconds": 10,
            "returnRampPercentPerSecond": 5,
            "maxUsdPerHour": "20.5",
        },
    }
    section = PoolSection.model_validate(
        {
            "name": "m",
            "model": "mixtral-8x7b-self",
            "instance_type": "p4d.24xlarge",
            "node_pool": "p4d",
            "engine": {
                "tensor_parallel": 4,
                "max_model_len_tokens": 4096,
                "max_num_seqs": 32,
                "max_num_batched_tokens": 1024,
                "gpu_memory_utilization_ratio": 0.92,
                "weights": "int8",
                "block_size_tokens": 32,
            },
            "slo": {"ttft_p95_s": 0.8, "tpot_p95_s": 0.05},
            "replicas": {"min": 2, "max": 6},
            "autoscale": {
                "home_use_ratio": 0.4,
                "start_patience_ratio": 1.5,
                "target_utilization_ratio": 0.9,
                "cold_start_s": 60.0,
                "scale_down_cooldown_s": 120.0,
                "drain_deadline_s": 30.0,
                "max_actions_per_hour": 12,
            },
            "spill": {
                "to": ["gpt-6-terra"],
                "enter_saturation_ratio": 0.85,
                "exit_saturation_ratio": 0.55,
                "min_dwell_s": 10.0,
                "return_ramp_ratio_per_s": 0.05,
                "max_usd_per_hour": 20.5,
            },
        }
    )
    found, _ = translated("m", stored("m", spec), document_of("m"))
    assert found is not None
    assert found.pool == pool_of(section)
    assert (found.port, found.says_budget) == (8001, True)


def test_everything_in_the_schema_is_bounded() -> None:
    """Every number, text and list, in spec and status; constants and dates by themselves."""
    loose = []
    for path, node in _all(schema()["properties"]["spec"], "spec"):
        loose += [path] if _is_loose(node) else []
    for path, node in _all(schema()["properties"]["status"], "status"):
        loose += [path] if _is_loose(node) else []
    assert loose == ["status.observedGeneration", "status.conditions.observedGeneration"]


def _all(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, node
    for name, below in node.get("properties", {}).items():
        yield from _all(below, f"{path}.{name}")
    if "items" in node:
        yield from _all(node["items"], path)


def _is_loose(node: Mapping[str, Any]) -> bool:
    if "enum" in node or node.get("format") == "date-time":
        return False
    needed = {"integer": {"minimum", "maximum"}, "string": {"maxLength"}, "array": {"maxItems"}}
    assert node["type"] != "number", "no floats in an API"
    return not needed.get(node["type"], set()) <= set(node)


def test_the_definition_is_of_the_group_that_it_is_known_by() -> None:
    """Names that documents, charts and code use."""
    names = crd()["spec"]["names"]
    assert crd()["metadata"]["name"] == f"{names['plural']}.{crd()['spec']['group']}"
    assert (names["kind"], names["shortNames"], names["categories"]) == ("ModelPool", ["spool"], ["spillway"])
