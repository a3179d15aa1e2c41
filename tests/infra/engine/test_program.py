"""The program in infra/ under the real engine: from nothing to a running stack, its changes, and back to nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.cluster.commands import run
from tests.cluster.programs import built
from tests.infra.doubles.store import Fault
from tests.infra.engine.conftest import Start
from tests.infra.engine.engine import ROOT, Engine, change_settings
from tests.infra.engine.state import checked_inputs, compare

INFRA = ROOT / "infra"
OF_KUBERNETES = {"default", "kube-system", "kube-public", "kube-node-lease"}
CAPACITY = (
    "InsufficientInstanceCapacity: We currently do not have sufficient g5.2xlarge capacity in the Availability "
    "Zone you requested (us-east-1a)."
)
QUOTA = (
    "VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit of 0 allows for the "
    "instance bucket that the specified instance type belongs to."
)


def _releases(api: Mapping[str, str]) -> list[str]:
    said = run([built("helm"), "list", "--all-namespaces", "--all", "--short"], environ=api)
    return sorted(said.split())


def _namespaces(api: Mapping[str, str]) -> set[str]:
    said = run([built("kubectl"), "get", "namespaces", "-o", "name"], environ=api)
    return {line.partition("/")[2] for line in said.split()} - {
        "default",
        "kube-system",
        "kube-public",
        "kube-node-lease",
    }


def _pool(config: dict[str, Any], **values: object) -> None:
    config["spillway:gpu_pools"]["a10g"].update(values)


def _outputs_are_what_runs(engine: Engine, api: Mapping[str, str]) -> None:
    """The release's own values hold what the stack tells others, and that is what AWS has."""
    outputs = engine.outputs()
    values = json.loads(
        run([built("helm"), "get", "values", "spillway", "--namespace", "spillway", "-o", "json"], environ=api)
    )
    repositories = {thing.outputs["repositoryUrl"] for thing in engine.aws.of("Repository")}
    assert values["image"]["repository"] == outputs["registry"]["ops"]
    assert set(outputs["registry"].values()) == repositories
    assert outputs["model_bucket"] == engine.aws.of("s3/bucket:Bucket")[0].identity
    assert outputs["cluster_name"] == engine.aws.of("eks/cluster:Cluster")[0].identity


def test_dev_stands_up_on_a_real_api_and_leaves_nothing(start: Start, api: Mapping[str, str]) -> None:
    """Up, no change on a second up, a pool grows, a model is swapped, and after destroy nothing is left anywhere."""
    engine = start(INFRA, "dev", api)
    made = engine.up()
    assert compare(engine) == (set(), set())
    assert {"spillway", "llama-8b", "external-secrets"} <= set(_releases(api))
    _outputs_are_what_runs(engine, api)
    assert engine.up().changed == 0
    assert engine.refresh().changed == 0
    change_settings(engine, lambda config: _pool(config, max_nodes=2))
    grown = engine.up()
    assert grown.count("create", "delete", "replace") == 0
    assert {
        thing.inputs["scalingConfig"]["maxSize"] for thing in engine.aws.of("NodeGroup") if "a10g" in thing.name
    } == {2}
    change_settings(engine, lambda config: config["spillway:models"]["llama-8b"].update(max_model_len_tokens=4096))
    swapped = engine.up()
    assert swapped.count("create", "delete", "replace") == 0
    assert swapped.count("update") >= 1
    gone = engine.destroy()
    assert gone.count("delete") == made.count("create")
    assert (engine.aws.things, engine.kubernetes.things) == ([], [])
    assert (_releases(api), _namespaces(api)) == ([], set())


@pytest.mark.parametrize("error", [CAPACITY, QUOTA], ids=["no capacity", "quota"])
def test_nodes_that_cannot_be_had_are_had_later(start: Start, error: str) -> None:
    """AWS's words are shown against the pool; the next up makes what was missing, and nothing twice."""
    engine = start(INFRA, "dev")
    engine.aws.plan(Fault(token="NodeGroup", name="a10g", error=error))
    failed = engine.up(expect=1)
    assert error in failed.said.replace("\n", " ")
    assert engine.up().changed > 0
    assert compare(engine) == (set(), set())
    assert engine.up().changed == 0


def test_prod_is_not_destroyed_by_the_word_alone(start: Start) -> None:
    """What holds data is protected: destroy says so in its preview and touches nothing."""
    engine = start(INFRA, "prod")
    engine.up()
    before = engine.aws.things
    refused = engine.run("destroy", "--yes", expect=None)
    assert refused.code != 0
    assert "protected" in refused.said
    assert engine.aws.things == before


def test_nothing_secret_is_in_the_state(start: Start) -> None:
    """Tokens of the one who deploys, and values in Secrets Manager, reach neither the state nor what is printed."""
    canary = "canary-5f1c2d"
    engine = start(INFRA, "dev")
    engine.secrets = {"HF_TOKEN": canary, "OPENAI_API_KEY": canary, "AWS_SECRET_ACCESS_KEY": canary}
    said = engine.up().said
    state = json.dumps(engine.export())
    assert canary not in said
    assert canary not in state
    assert "secretsmanager" in state  # names are there
    assert canary not in engine.settings.read_text(encoding="utf-8")


@pytest.mark.parametrize("stack", ["dev", "prod", "eu"])
def test_every_input_of_every_resource_is_held_against_the_schema(
    start: Start, stack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not one resource or input goes unseen by the checks of the doubles."""
    engine = start(INFRA, stack)
    engine.up()
    inputs, seen = checked_inputs(engine)
    with capsys.disabled():
        sys.stdout.write(f"\n{stack}: {len(inputs & seen)} of {len(inputs)} inputs are held against the schema\n")
    assert len(inputs) > 100
    assert inputs - seen == set()
