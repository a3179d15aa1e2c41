"""Keys, ledger and requests of a cluster: told by a pod of its gateway, or how they can be had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from about_cluster import refused, run
from aiohttp import web
from fake_cluster import FakeCluster, Ran
from typer.testing import CliRunner

from controller.cli.errors import EXIT_FAILED, EXIT_KEY, CliError
from controller.cli.main import build_app
from tests.adapters.fake_api_objects import status_error

KEY = b"sp-3f9c2a7be01d-secret\n"


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_keys_are_made_in_a_pod_of_the_gateway(there: FakeCluster, protocol: str) -> None:
    """The key alone on stdout; its words on stderr, with what names the cluster."""
    there.fleet("demo-gateway-1")
    there.protocols = (protocol,)
    said = b"note: keep it now\nnext: export X=<the key>    Undo: spillway keys revoke 3f9c2a7be01d\n"
    there.ran.append(Ran(stdout=KEY, stderr=said))
    result = run("keys", "create", "laptop", "--tenant", "acme")
    assert (result.exit_code, result.stdout) == (0, KEY.decode()), result.output
    assert there.commands == [["spillway", "keys", "create", "--tenant", "acme", "--", "laptop"]]
    assert result.stderr.endswith("Undo: spillway keys revoke 3f9c2a7be01d --context demo\n")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("keys", "list", "--json"), ["keys", "list", "--json"]),
        (("keys", "revoke", "3f9c"), ["keys", "revoke", "--yes", "--", "3f9c"]),
        (("ledger", "report", "--by", "day"), ["ledger", "report", "--by", "day"]),
        (("request", "--last", "3"), ["request", "--last", "3"]),
        (("request", "req-1"), ["request", "--", "req-1"]),
        (("ledger", "export", "--since", "7d"), ["ledger", "export", "--since", "7d", "--until", "now"]),
    ],
)  # fmt: skip
def test_what_needs_the_database_is_done_where_it_is(
    there: FakeCluster, typed: tuple[str, ...], words: list[str]
) -> None:
    """Output and exit code are those of the command there."""
    there.fleet("demo-gateway-1")
    there.ran.append(Ran(stdout=b"a row\n", stderr=b"error: no\n", code=3))
    result = run(*typed)
    assert (result.exit_code, result.stdout) == (3, "a row\n")
    assert "error: no\n" in result.stderr
    assert there.commands == [["spillway", *words]]


def test_an_export_is_a_whole_file_or_none(there: FakeCluster, tmp_path: Path) -> None:
    """Its rows come through the API; where the command there fails the file is not made."""
    there.fleet("demo-gateway-1")
    there.ran += [Ran(stdout=b"at,cost\n1,2\n3,4\n"), Ran(stdout=b"at,c", code=1)]
    told = json.loads(run("ledger", "export", "--out", "week.csv", "--json").stdout)["data"]
    assert (told["rows"], told["format"]) == (2, "csv")
    assert (tmp_path / "week.csv").read_bytes() == b"at,cost\n1,2\n3,4\n"
    assert run("ledger", "export", "--out", "other.csv").exit_code == EXIT_FAILED
    assert not list(tmp_path.glob("*other*"))


def test_in_a_pod_the_database_is_reached_as_on_a_machine(
    there: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There SPILLWAY_PLATFORM sends nobody to another pod."""
    monkeypatch.setenv("SPILLWAY_PLATFORM", "kubernetes")
    monkeypatch.setenv("SPILLWAY_POD_NAME", "demo-gateway-1")
    monkeypatch.setenv("SPILLWAY_STATE_DIR", str(tmp_path))
    error = CliRunner().invoke(build_app(), ["keys", "list"]).exception
    assert isinstance(error, CliError)
    assert "no Spillway state" in error.what
    assert there.api.calls == []


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        (("keys", "new-pepper"), "the pepper of a cluster is in its Secret"),
        (("ledger", "verify", "usage.csv"), "ledger verify reads files here"),
        (("keys", "list"), "no gateway is ready in namespace models"),
    ],
)
def test_what_cannot_be_from_here_says_how_it_can(there: FakeCluster, typed: tuple[str, ...], what: str) -> None:
    """With the command or the change that does it."""
    error = refused(*typed)
    assert what in error.what
    assert error.fix


def test_who_may_not_exec_is_told_the_command_for_who_may(there: FakeCluster) -> None:
    """Exit code 4, and the pod by name."""
    there.fleet("demo-gateway-1")

    def forbid(request: web.Request) -> tuple[int, dict[str, object]] | None:
        words = 'pods "demo-gateway-1" is forbidden: User "me" cannot create resource "pods/exec"'
        return (403, status_error(403, "Forbidden", words)) if request.path.endswith("/exec") else None

    there.api.faults.append(forbid)
    error = refused("keys", "list")
    assert error.exit_code == EXIT_KEY
    assert 'cannot create resource "pods/exec"' in error.why
    assert "kubectl exec demo-gateway-1 --container gateway --context demo -- spillway keys list" in error.fix
