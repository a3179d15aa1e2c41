"""A state with operations in the air is settled by what a person says came of them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from infra.pending import State, Unanswered, settled

ROLE = "urn:pulumi:dev::spillway::aws:iam/role:Role::nodes"
VPC = "urn:pulumi:dev::spillway::aws:ec2/vpc:Vpc::net"
STAYS = {"urn": "urn:pulumi:dev::spillway::pulumi:pulumi:Stack::spillway-dev", "custom": False}


def _state() -> State:
    return {
        "version": 3,
        "deployment": {
            "manifest": {},
            "resources": [dict(STAYS)],
            "pending_operations": [
                {"type": "creating", "resource": {"urn": ROLE, "custom": True, "inputs": {"name": "nodes-1a2b3c4"}}},
                {"type": "creating", "resource": {"urn": VPC, "custom": True, "inputs": {"tags": {"Name": "net"}}}},
                {"type": "updating", "resource": {"urn": "urn:other", "custom": True}},
            ],
        },
    }


def test_what_was_made_is_taken_over_and_the_rest_forgotten() -> None:
    """An identity makes a resource of it, an empty one nothing; updates are left to refresh; all else stays."""
    taken = {"urn": ROLE, "custom": True, "inputs": {"name": "nodes-1a2b3c4"}, "id": "nodes-1a2b3c4"}
    assert settled(_state(), {ROLE: "nodes-1a2b3c4", VPC: ""}) == {
        "version": 3,
        "deployment": {"manifest": {}, "resources": [STAYS, taken]},
    }


def test_nothing_is_forgotten_unasked() -> None:
    """What has no answer is listed with what it can be found by."""
    with pytest.raises(Unanswered) as caught:
        settled(_state(), {ROLE: "nodes-1a2b3c4"})
    assert str(caught.value) == f'{VPC}  {{"tags": {{"Name": "net"}}}}'


def test_a_state_with_nothing_in_the_air_stays_as_it_is() -> None:
    """So it does no harm to ask."""
    state: State = {"version": 3, "deployment": {"resources": [dict(STAYS)]}}
    assert settled(state, {}) == state


@pytest.mark.parametrize(
    ("words", "code"), [([], 1), ([f"{ROLE}=nodes-1a2b3c4", f"{VPC}="], 0)], ids=["unanswered", "answered"]
)
def test_the_command_reads_and_writes_states(words: list[str], code: int) -> None:
    """From standard input to standard output; unanswered, it says what to do and writes none."""
    command = [sys.executable, "-m", "infra.pending", *words]
    done = subprocess.run(command, input=json.dumps(_state()), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code
    if code:
        assert done.stdout == ""
        assert "say URN=ID for each" in done.stderr
        assert ROLE in done.stderr
    else:
        assert json.loads(done.stdout)["deployment"]["resources"][1]["id"] == "nodes-1a2b3c4"
