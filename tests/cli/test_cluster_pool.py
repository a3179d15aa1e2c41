"""Pins and orders to drain on a cluster: written as kubectl would, undone by the command that is printed."""

from __future__ import annotations

import json
import shlex
import time

import pytest
from about_cluster import WHY, document, refused, run
from aiohttp import web
from fake_cluster import DEPLOYMENTS, MODELS, POOLS, FakeCluster
from typer.testing import CliRunner

from controller.cli.errors import EXIT_UNCHANGED, EXIT_USAGE
from controller.cli.main import build_app
from tests.adapters.fake_api_objects import status_error
from tests.cluster.installed import model_pool


def test_pools_are_listed_with_bounds_pins_and_pods(there: FakeCluster) -> None:
    """As on one machine; a place that waits for a pod is listed too."""
    there.fleet()
    deployment = there.api.get(DEPLOYMENTS, "llama-8b", MODELS)
    there.put(DEPLOYMENTS, {**deployment, "spec": {**deployment["spec"], "replicas": 2}})
    result = run("pool", "list")
    rows = [line.split() for line in result.stdout.splitlines() if line]
    assert rows[1] == ["llama-8b", "llama-8b-self", "1", "4", "1", "Spilling", "<none>"]
    assert [row[:3] for row in rows[4:]] == [
        ["llama-8b-aaa", "llama-8b", "ready"],
        ["llama-8b#1", "llama-8b", "warming"],
    ]
    listed = document("pool", "list")
    assert isinstance(listed, list)
    assert (listed[0]["min_replicas"], listed[0]["max_replicas"], listed[0]["fixed"]) == (1, 4, False)


def test_a_pin_stands_in_the_spec_with_who_why_and_until(there: FakeCluster) -> None:
    """As `kubectl patch` writes it; the command that takes it back names the cluster and works."""
    there.fleet()
    result = run("pool", "pin", "llama-8b", "--routing", "External", "--replicas", "2", "--for", "90m", *WHY)
    assert (result.exit_code, result.stdout) == (0, "pool/llama-8b pinned\n"), result.output
    pin = dict(there.pool()["spec"]["pin"])
    until = pin.pop("until")
    assert pin == {"routing": "External", "replicas": 2, "scaling": "Auto", "reason": "driver update", "who": "ada"}
    assert until > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5300))
    undo = next(line for line in result.stderr.splitlines() if line.startswith("undo: "))
    assert undo == "undo: spillway pool unpin llama-8b --context demo"
    assert "no controller leads" not in result.stderr
    back = CliRunner().invoke(build_app(), shlex.split(undo)[2:])
    assert (back.exit_code, back.stdout) == (0, "pool/llama-8b unpinned\n"), back.output
    assert there.pool()["spec"].get("pin") is None
    again = next(line for line in back.stderr.splitlines() if line.startswith("undo: "))
    CliRunner().invoke(build_app(), shlex.split(again)[2:])
    assert there.pool()["spec"]["pin"] == {**pin, "until": until}


def test_a_pin_to_none_and_one_of_replicas_alone(there: FakeCluster) -> None:
    """0 is not pinned in the CRD, so none at all is said by `scaling`."""
    there.put(POOLS, model_pool("llama-8b", replicas={"min": 0, "max": 4}))
    run("pool", "pin", "llama-8b", "--replicas", "0", *WHY)
    pin = there.pool()["spec"]["pin"]
    assert (pin["replicas"], pin["scaling"], pin["routing"]) == (0, "Zero", "Auto")
    replaced = json.loads(run("pool", "pin", "llama-8b", "--replicas", "3", *WHY, "--json").stdout)["data"]
    assert (replaced["pin"]["replicas"], replaced["replaced_pin"]["replicas"]) == (3, 0)
    assert there.pool()["spec"]["pin"]["scaling"] == "Auto"


@pytest.mark.parametrize(
    ("typed", "what", "why"),
    [
        (("pool", "pin", "llama-8b", *WHY), "nothing to pin", ""),
        (("pool", "pin", "llama-8", "--replicas", "1", *WHY), "no pool 'llama-8'", "did you mean llama-8b?"),
        (("pool", "pin", "llama-8b", "--replicas", "9", *WHY), "cannot be pinned to 9", "allowed: 1 to 4"),
        (("pool", "unpin", "llama-8b", "--config", "x"), "--config means nothing on a cluster", "config show"),
        (("pool", "pin", "llama-8b", "--replicas", "1", *WHY[:3], "y" * 101), "--who is too long", "100"),
        (("pool", "pin", "llama-8b", "--replicas", "1", "--for", "8d", *WHY), "--for 8d is not allowed", "at most 7d"),
        (("pool", "unpin", "other"), "no pool 'other'", "there are llama-8b"),
        (("pool", "drain", "llama-8b-aab"), "no replica 'llama-8b-aab'", "did you mean llama-8b-aaa?"),
        (("pool", "drain", "llama-8b#1"), "cannot be drained", "has none yet"),
        (("explain", "pool", "other"), "no pool 'other'", "there are llama-8b"),
        (("status", "--state-dir", "x"), "--state-dir means nothing on a cluster", "in the cluster"),
        (("pool", "list", "--config", "x"), "--config means nothing on a cluster", "config show"),
        (("keys", "create", "a b"), "name 'a b' is not allowed", "letters"),
        (("keys", "create", "a", "--init"), "--init means nothing on a cluster", "runs there already"),
        (("ledger", "report", "--by", "moon"), "'moon' is not known", ""),
        (("ledger", "export", "--out", "x.parquet"), "Parquet cannot be had", "as CSV"),
        (("ledger", "export", "--json"), "this needs a file", "stdout"),
        (("ledger", "export", "--out", "no/such/x.csv"), "--out no/such/x.csv", "there is no folder"),
    ],
)  # fmt: skip
def test_wrong_usage_is_refused_as_on_one_machine(
    there: FakeCluster, typed: tuple[str, ...], what: str, why: str
) -> None:
    """Exit code 2, and nothing is written."""
    there.fleet("demo-gateway-1")
    deployment = there.api.get(DEPLOYMENTS, "llama-8b", MODELS)
    there.put(DEPLOYMENTS, {**deployment, "spec": {**deployment["spec"], "replicas": 2}})
    error = refused(*typed)
    assert what in error.what
    assert why in error.why
    assert error.exit_code == EXIT_USAGE
    assert there.api.writes() == []


def test_a_pod_is_told_to_go_once(there: FakeCluster) -> None:
    """By the annotation that the controller obeys; a second time nothing changes, and 3 says so where asked."""
    there.fleet()
    result = run("pool", "drain", "llama-8b-aaa")
    assert (result.exit_code, result.stdout) == (0, "replica/llama-8b-aaa draining\n"), result.output
    assert there.pod("llama-8b-aaa")["metadata"]["annotations"]["spillway.dev/drain"] == "true"
    assert "llama-8b has no other ready replica" in result.stderr
    again = run("pool", "drain", "llama-8b-aaa", "--error-unchanged")
    assert (again.exit_code, again.stdout) == (EXIT_UNCHANGED, "replica/llama-8b-aaa was told to drain already\n")


def test_unpinning_what_is_not_pinned_changes_nothing(there: FakeCluster) -> None:
    """0 unless asked to be told."""
    there.fleet()
    assert run("pool", "unpin", "llama-8b").stdout == "pool/llama-8b was not pinned\n"
    assert run("pool", "unpin", "llama-8b", "--error-unchanged").exit_code == EXIT_UNCHANGED


def test_a_pin_holds_also_while_the_status_changes(there: FakeCluster) -> None:
    """The version moves between reading and writing: it is read and written again; a quarrel ends in words."""
    there.fleet()
    conflicts = 2

    def meddle(request: web.Request) -> tuple[int, dict[str, object]] | None:
        nonlocal conflicts
        if request.method != "PATCH" or not conflicts:
            return None
        conflicts -= 1
        return 409, status_error(409, "Conflict", "the object has been modified")

    there.api.faults.append(meddle)
    assert run("pool", "pin", "llama-8b", "--replicas", "2", *WHY).exit_code == 0
    conflicts = 100
    error = refused("pool", "pin", "llama-8b", "--replicas", "2", *WHY)
    assert "somebody else is changing it" in error.what
