"""`spillway infra`, as it is typed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from stacks import changed, write
from typer.testing import CliRunner, Result

from controller.cli.errors import CliError
from controller.cli.main import build_app

ROOT = Path(__file__).parents[2]
DAY = ("--today", "2026-11-26")


def typed(*words: str) -> Result:
    """`spillway infra ...`."""
    return CliRunner().invoke(build_app(), ["infra", *words])


def test_the_plan_of_prod_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the checkout, without naming a folder: table on stdout, what comes next on stderr."""
    monkeypatch.chdir(ROOT)
    result = typed("plan", "--stack", "prod", *DAY)
    assert result.exit_code == 0
    assert "8 of 8     on demand   21.9576  16,029.08" in result.stdout
    assert "total       18,631.01 a month" in result.stdout
    assert "spillway infra preflight --stack prod" in result.stderr


def test_the_plan_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """One document with rows, sums and problems, also from within the folder."""
    monkeypatch.chdir(ROOT / "infra")
    document = json.loads(typed("plan", "-s", "prod", "--json", *DAY).stdout)
    assert document["kind"] == "infra-plan"
    plan = document["data"]["plan"]
    assert [row["name"] for row in plan["rows"]] == ["llama-8b", "mixtral-8x7b", "llama-70b"]
    assert (document["data"]["valid"], round(plan["total_usd_per_month"], 2)) == (True, 18631.01)


@pytest.mark.parametrize("as_json", [False, True], ids=["words", "json"])
def test_a_stack_that_cannot_be_ends_with_2(as_json: bool, tmp_path: Path) -> None:
    """The table is shown all the same; every problem with its arithmetic."""
    write(tmp_path, changed({"models.mixtral.tensor_parallel": 2, "cluster.version": "1.20"}))
    result = typed("plan", "--stack", "test", "--dir", str(tmp_path), *DAY, *(["--json"] if as_json else []))
    assert result.exit_code == 2
    if as_json:
        data = json.loads(result.stdout)["data"]
        assert (data["valid"], [problem["key"] for problem in data["problems"]]) == (
            False,
            ["spillway:cluster.version", "spillway:models.mixtral.tensor_parallel"],
        )
    else:
        assert "mixtral: 39.4 GiB x 0.90" in result.stdout
        assert "spillway:cluster.version: no such EKS version" in result.stderr
        assert "tensor_parallel 2, fp8 weights (183,696 KV tokens)" in result.stderr


def test_without_a_shape_there_is_no_table(tmp_path: Path) -> None:
    """Only what is wrong."""
    write(tmp_path, changed({"network": 5}))
    result = typed("plan", "--stack", "test", "--dir", str(tmp_path), *DAY)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "spillway:network: must be a mapping (got 5)" in result.stderr


@pytest.mark.parametrize("command", ["plan", "preflight", "leftovers"])
def test_a_stack_that_is_not_there_is_refused_with_those_that_are(command: str, tmp_path: Path) -> None:
    """Before anything is asked; for questions to AWS, after boto3 is there."""
    write(tmp_path, changed({}))
    result = typed(command, "--stack", "prod", "--dir", str(tmp_path))
    assert isinstance(result.exception, CliError)
    if command == "plan" or find_spec("boto3") is not None:
        assert result.exception.why.endswith(": test")
    else:
        assert result.exception.why == "boto3 is not installed"
        assert "make infra-env" in result.exception.fix


def test_a_folder_without_stacks_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither infra/ nor a stack is."""
    monkeypatch.chdir(tmp_path)
    result = typed("plan")
    assert isinstance(result.exception, CliError)
    assert result.exception.why == f"no stack is in {tmp_path}"


@pytest.mark.parametrize("command", ["plan", "preflight", "leftovers"])
def test_where_infra_is_not_installed_it_is_said(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images hold the product without it."""
    monkeypatch.setattr("controller.cli.infra.find_spec", lambda _name: None)
    result = typed(command)
    assert isinstance(result.exception, CliError)
    assert result.exception.what == "there is no infra here"
