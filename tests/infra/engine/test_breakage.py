"""The program in infra/ when AWS, a person or the machine of the one who deploys fails in the middle."""

from __future__ import annotations

import pytest

from tests.infra.doubles.store import Fault
from tests.infra.engine.conftest import Start
from tests.infra.engine.engine import ROOT, kill_tree, until
from tests.infra.engine.recovery import recover
from tests.infra.engine.state import compare

INFRA = ROOT / "infra"
JOIN = "NodeCreationFailure: Instances failed to join the kubernetes cluster"
IN_USE = "DependencyViolation: The subnet has dependencies and cannot be deleted."


@pytest.mark.parametrize("at", [30, 90])
def test_the_literal_up_goes_on_after_its_engine_was_killed(start: Start, at: int) -> None:
    """`pulumi up --yes` as it is typed, killed (SIGKILL) with a call in the air, then typed again."""
    engine = start(INFRA, "dev")
    engine.aws.plan(Fault(hold="after", skip=at))
    child = engine.begin("up", "--yes", "--stack", "dev")
    until("a call is held", lambda: engine.aws.is_holding, 120)
    kill_tree(child)
    engine.aws.plan()
    recover(engine)
    assert compare(engine) == (set(), set())
    engine.run("up", "--yes")
    assert compare(engine) == (set(), set())
    names = [(thing.token, thing.name) for thing in engine.aws.things]
    assert len(names) == len(set(names))
    assert engine.up().changed == 0


def test_a_pool_whose_nodes_never_joined_is_made_anew(start: Start) -> None:
    """The update ends with AWS's words against the pool; what does not need it stands; the next one heals it."""
    engine = start(INFRA, "dev")
    engine.aws.plan(Fault(token="NodeGroup", name="a10g", error=JOIN, made=True))
    failed = engine.up(expect=1)
    assert JOIN in failed.said
    assert "CREATE_FAILED" in {thing.outputs["status"] for thing in engine.aws.of("NodeGroup")}
    engine.up()
    assert {thing.outputs["status"] for thing in engine.aws.of("NodeGroup")} == {"ACTIVE"}
    assert compare(engine) == (set(), set())
    engine.aws.plan(
        Fault(verb="delete", token="NodeGroup", delay_s=3.0, times=2),
        Fault(verb="delete", token="Subnet", error=IN_USE),
    )
    stuck = engine.destroy(expect=1)
    assert IN_USE in stuck.said
    assert compare(engine) == (set(), set())
    engine.destroy()
    assert (engine.aws.things, engine.kubernetes.things) == ([], [])


def test_what_somebody_deleted_by_hand_comes_back(start: Start) -> None:
    """Refresh sees that it is gone, up makes it again and changes nothing that stands well."""
    engine = start(INFRA, "dev")
    engine.up()
    engine.aws.forget(engine.aws.of("LifecyclePolicy")[0])
    assert engine.refresh().count("delete") == 1
    healed = engine.up()
    assert (healed.count("create"), healed.changed) == (1, 1)
    assert compare(engine) == (set(), set())
