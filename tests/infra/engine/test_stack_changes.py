"""What an operator does to a stack that runs: another model, another program beside it, its end."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.cluster.commands import run
from tests.cluster.programs import built
from tests.infra.doubles.store import Thing
from tests.infra.engine.conftest import Start
from tests.infra.engine.engine import ROOT, Engine, change_settings
from tests.infra.engine.state import compare

INFRA = ROOT / "infra"
MIXTRAL = {"mixtral": {"model": "mixtral-8x7b-self", "pool": "a100", "tensor_parallel": 4}}
LLAMA = {"llama-70b": {"model": "llama-70b-self", "pool": "a100", "tensor_parallel": 4, "dtype": "int8"}}


def _values(api: Mapping[str, str], release: str) -> dict[str, Any]:
    words = [built("helm"), "get", "values", release, "--namespace", "spillway", "-o", "json"]
    return json.loads(run(words, environ=api))  # type: ignore[no-any-return]


def _releases(api: Mapping[str, str]) -> set[str]:
    return set(run([built("helm"), "list", "--all", "--short", "--namespace", "spillway"], environ=api).split())


def _things(engine: Engine) -> dict[str, Thing]:
    return {f"{thing.token} {thing.identity}": thing for thing in (*engine.aws.things, *engine.kubernetes.things)}


def _with_mixtral(config: dict[str, Any]) -> None:
    config["spillway:budget_usd_per_month"] = 20_000
    config["spillway:gpu_pools"]["a100"] = {"instance_type": "p4d.24xlarge"}
    config["spillway:models"] |= MIXTRAL


def _with_llama_in_its_place(config: dict[str, Any]) -> None:
    del config["spillway:models"]["mixtral"]
    config["spillway:models"] |= LLAMA


def test_a_model_in_place_of_another_is_all_that_changes(start: Start, api: Mapping[str, str]) -> None:
    """Release, rights and manifest of the old one go, those of the new one are there; all else is as it was."""
    engine = start(INFRA, "dev", api)
    change_settings(engine, _with_mixtral)
    engine.up()
    assert {"spillway", "llama-8b", "mixtral"} <= _releases(api)
    before = _things(engine)
    change_settings(engine, _with_llama_in_its_place)
    swapped = engine.up()
    after = _things(engine)
    gone = {thing.name for key, thing in before.items() if key not in after}
    new = {thing.name for key, thing in after.items() if key not in before}
    assert {name.replace("mixtral", "llama-70b") for name in gone} == new
    assert all("mixtral" in name for name in gone)
    assert {key for key in before.keys() & after.keys() if before[key] != after[key]} == set()
    assert swapped.count("update", "replace") == 0
    assert _releases(api) == {"spillway", "llama-8b", "llama-70b"}
    assert _values(api, "llama-70b")["model"]["key"] == "llama-70b-self"
    assert engine.up().changed == 0
    engine.destroy()
    assert (engine.aws.things, engine.kubernetes.things) == ([], [])


def test_a_second_program_lives_on_the_outputs_of_a_stack(start: Start, api: Mapping[str, str]) -> None:
    """It reaches the cluster; its model has images, secret and nodes of the stack, which is as before without it."""
    engine = start(INFRA, "dev", api)
    engine.up()
    before, told = _things(engine), engine.outputs()
    second = engine.beside(ROOT / "tests/infra/beside", "test")
    made = second.up()
    assert second.outputs() == {"asked_at": told["gateway_url"]}
    values = _values(api, "second")
    assert values["image"]["repository"] == told["registry"]["engine"]
    assert values["model"]["hub"]["existingSecret"] == told["helm_values"]["hubSecret"]
    assert values["modelPool"]["nodePool"] == "a10g"
    note = next(thing for thing in engine.aws.of("BucketObjectv2") if thing.name == "told")
    assert note.inputs["bucket"] == told["model_bucket"]
    assert second.up().changed == 0
    assert second.destroy().count("delete") == made.count("create")
    assert _things(engine) == before
    engine.destroy()
    assert (engine.aws.things, engine.kubernetes.things) == ([], [])


def _commands_of_the_page() -> list[list[str]]:
    page = (INFRA / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## Tear it down.*?```sh\n(.*?)```", page, re.DOTALL)
    assert block is not None
    lines = [shlex.split(part, comments=True) for line in block[1].splitlines() for part in line.split(" && ")]
    return [words[1:] for words in lines]


def test_prod_is_torn_down_as_the_page_says(start: Start) -> None:
    """Its commands, word by word: protection off, then nothing is left."""
    engine = start(INFRA, "prod")
    made = engine.up()
    *settings, up, destroy = _commands_of_the_page()
    assert ([words[0] for words in settings], up, destroy) == (["config"] * 3, ["up"], ["destroy"])
    for words in settings:
        engine.run(*words)
    unprotected = engine.run(*up, "--yes")
    assert unprotected.count("create", "delete", "replace") == 0
    assert compare(engine) == (set(), set())
    gone = engine.run(*destroy, "--yes")
    assert gone.count("delete") == made.count("create")
    assert (engine.aws.things, engine.kubernetes.things) == ([], [])


def _bounds(engine: Engine, low: int, high: int = 3) -> None:
    def change(config: dict[str, Any]) -> None:
        config["spillway:budget_usd_per_month"] = 20_000
        bounds = {"min_nodes": low, "desired_nodes": max(1, low), "max_nodes": high}
        config["spillway:gpu_pools"]["a10g"] |= {"capacity": {"kind": "on-demand"}, **bounds}

    change_settings(engine, change)


def _group(engine: Engine) -> Thing:
    (group,) = (thing for thing in engine.aws.of("NodeGroup") if "a10g" in thing.name)
    return group


def _scaled(engine: Engine, low: int, count: int, high: int) -> None:
    """Somebody else, such as the node autoscaler, has it so."""
    group, scaling = _group(engine), {"scalingConfig": {"minSize": low, "desiredSize": count, "maxSize": high}}
    engine.aws.amend(replace(group, inputs=group.inputs | scaling, outputs=group.outputs | scaling))


def test_bounds_of_a_pool_are_changed_around_the_nodes_there_are(start: Start) -> None:
    """A floor above them is refused in the preview, with the command that starts them; once it was run, it holds.
    A ceiling is raised over what the autoscaler has started, and that stays.
    """
    engine = start(INFRA, "dev")
    _bounds(engine, 0)
    engine.up()
    _bounds(engine, 2)
    refused = engine.preview(expect=None)
    assert refused.code != 0
    assert "--scaling-config minSize=2,maxSize=3,desiredSize=2" in refused.said.replace("\n", " ")
    assert engine.up(expect=None).code != 0
    assert _group(engine).inputs["scalingConfig"] == {"minSize": 0, "desiredSize": 1, "maxSize": 3}
    _scaled(engine, 2, 2, 3)
    engine.up("--refresh")
    assert _group(engine).inputs["scalingConfig"] == {"minSize": 2, "desiredSize": 2, "maxSize": 3}
    _scaled(engine, 2, 3, 3)
    _bounds(engine, 2, 5)
    engine.up("--refresh")
    assert _group(engine).inputs["scalingConfig"] == {"minSize": 2, "desiredSize": 3, "maxSize": 5}
    assert engine.up().changed == 0
