"""A small stack from nothing to nothing, by the literal command line and by the Automation API."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from pulumi import automation

from tests.infra.doubles.store import Fault
from tests.infra.engine.conftest import Start
from tests.infra.engine.engine import ROOT, Engine, change_settings

SMALL = ROOT / "tests/infra/small"
RESOURCES = 20


def test_a_stack_lives_on_a_real_api(start: Start, api: Mapping[str, str]) -> None:
    """Preview makes nothing, up makes all of it, up again changes nothing, destroy leaves nothing anywhere."""
    engine = start(SMALL, "test", api)
    assert engine.preview().count("create") == RESOURCES
    assert engine.aws.things == []
    assert engine.up().count("create") == RESOURCES
    assert engine.outputs()["cluster"] == engine.aws.of("eks/cluster:Cluster")[0].identity
    assert engine.up().changed == 0
    assert engine.refresh().changed == 0
    assert engine.destroy().count("delete") == RESOURCES
    assert (engine.aws.things, engine.kubernetes.things) == ([], [])


def test_the_automation_api_runs_the_same_program(small: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it makes is what the command line finds."""
    monkeypatch.setenv("PATH", small.environ["PATH"])  # where it looks for the engine
    options = automation.LocalWorkspaceOptions(env_vars=small.environ)
    stack = automation.select_stack("test", work_dir=str(small.project), opts=options)
    done = stack.up()
    assert done.summary.resource_changes == {"create": RESOURCES}
    assert small.up().changed == 0
    assert stack.destroy().summary.resource_changes == {"delete": RESOURCES}
    assert small.aws.things == []


def test_only_the_pool_changes_when_it_is_scaled(small: Engine) -> None:
    """More nodes are one update."""
    small.up()
    change_settings(small, lambda config: config.update({"small:nodes": 3}))
    done = small.up()
    assert (done.count("update"), done.changed) == (1, 1)
    assert small.aws.of("NodeGroup")[0].inputs["scalingConfig"]["maxSize"] == 3


def test_a_group_that_failed_is_made_anew(small: Engine) -> None:
    """The words of AWS are shown, the group stands in the state, and the next up replaces it."""
    small.up()
    small.destroy()
    small.aws.plan(Fault(token="NodeGroup", error="NodeCreationFailure: Unhealthy nodes", made=True))
    failed = small.up(expect=1)
    assert "NodeCreationFailure: Unhealthy nodes" in failed.said
    assert [thing.outputs["status"] for thing in small.aws.of("NodeGroup")] == ["CREATE_FAILED"]
    small.up()
    assert [thing.outputs["status"] for thing in small.aws.of("NodeGroup")] == ["ACTIVE"]
    assert small.up().changed == 0


def test_a_resource_with_an_alias_is_renamed_and_stays(small: Engine) -> None:
    """Another name in the program alone costs no node."""
    small.up()
    (before,) = small.aws.of("NodeGroup")
    change_settings(small, lambda config: config.update({"small:pool": "gpus"}))
    assert small.up().changed == 0
    assert small.aws.of("NodeGroup") == [before]
    assert "NodeGroup::gpus" in json.dumps(small.export())
