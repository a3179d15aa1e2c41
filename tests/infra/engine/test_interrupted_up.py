"""The engine dies (SIGKILL) in the middle of an update: nothing is lost, nothing is made twice."""

from __future__ import annotations

import pytest

from tests.infra.doubles.store import Fault
from tests.infra.engine.engine import Engine, kill_tree, until
from tests.infra.engine.recovery import recover
from tests.infra.engine.state import compare

RESOURCES = 20


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [0, 3, 6, 10, 14])
def test_up_goes_on_where_the_engine_was_killed(small: Engine, at: int, when: str) -> None:
    """Killed while the call for an object hangs, with its effect or without: refresh and up heal it."""
    small.aws.plan(Fault(hold=when, skip=at))
    child = small.begin("up", "--yes", "--skip-preview", "--stack", "test")
    until("a call is held", lambda: small.aws.is_holding, 60)
    kill_tree(child)
    small.aws.plan()
    recover(small)
    assert compare(small) == (set(), set())
    small.up()
    assert compare(small) == (set(), set())
    names = [(thing.token, thing.name) for thing in (*small.aws.things, *small.kubernetes.things)]
    assert len(names) == len(set(names)) == RESOURCES - 2  # all but the stack and the provider
    assert small.up().changed == 0
    small.destroy()
    assert (small.aws.things, small.kubernetes.things) == ([], [])


def test_a_state_whose_attributes_were_cut_off_is_mended(small: Engine) -> None:
    """The engine died as it wrote the file beside its state: it reads neither until that file is gone."""
    small.aws.plan(Fault(hold="after", skip=9))
    child = small.begin("up", "--yes", "--skip-preview", "--stack", "test")
    until("a call is held", lambda: small.aws.is_holding, 60)
    kill_tree(child)
    small.aws.plan()
    (attributes,) = (small.folder / "state").rglob("stacks/small/test.json.attrs")
    attributes.write_text("")
    assert "failed to load checkpoint: EOF" in small.run("stack", "export", expect=None).said
    recover(small)
    assert compare(small) == (set(), set())
