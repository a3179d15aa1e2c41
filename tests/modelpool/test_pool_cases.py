"""The cases as data through the pure translation; `tests/cluster` asks a real API the same ones."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pool_cases import KEYS, SPILLWAY_YAML, TODAY, Case, cases, stored

from controller.modelpool.cluster_pools import ClusterBase, cluster_pools, load_base


def _base(folder: Path, environ: dict[str, str]) -> ClusterBase:
    file = folder / "spillway.yaml"
    file.write_text(SPILLWAY_YAML, encoding="utf-8")
    return load_base(file, environ, today=TODAY)


def _params(name: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in cases(name)]


@pytest.mark.parametrize("case", _params("taken"))
def test_what_the_api_takes_is_a_pool(case: Case, tmp_path: Path) -> None:
    """The pool is there, and nothing is wrong with it."""
    name = case.get("name", "llama-8b")
    pools = cluster_pools(_base(tmp_path, KEYS), [stored(name, case["spec"])])
    told = [one for one in pools.problems.get(name, ()) if "no pool serves" not in one.message]
    assert list(pools.settings.pools) == [name]
    assert [one for one in told if "no step times" not in one.message] == []


@pytest.mark.parametrize("case", [one for one in _params("refused") if "key" in one.values[0]])
def test_what_the_api_refuses_is_no_pool_either(case: Case, tmp_path: Path) -> None:
    """An object that an older API let through is refused at the same place."""
    name = case.get("name", "llama-8b")
    pools = cluster_pools(_base(tmp_path, KEYS), [stored(name, case["spec"])])
    assert list(pools.settings.pools) == []
    assert case["key"] in [one.key for one in pools.problems[name] if one.severity == "error"]


@pytest.mark.parametrize("case", _params("semantic"))
def test_what_cannot_be_is_told_exactly_and_alone(case: Case, tmp_path: Path) -> None:
    """Pool, key, value, message and what is allowed; the other pools stand."""
    objects = [stored(name, spec) for name, spec in case["pools"].items()]
    pools = cluster_pools(_base(tmp_path, case.get("environ", KEYS)), objects)
    found = [
        (name, asdict(one))
        for name, problems in pools.problems.items()
        for one in problems
        if "no step times" not in one.message
    ]
    expected = []
    for problem, (_, said) in zip(case["problems"], found, strict=True):
        wanted = {"file": f"modelpool/{problem['pool']}", "line": None, "severity": "error", "value": None, **problem}
        beginning = wanted["allowed"].removesuffix("...")
        if beginning != wanted["allowed"] and said["allowed"].startswith(beginning):
            wanted["allowed"] = said["allowed"]
        expected.append((wanted.pop("pool"), wanted))
    assert found == expected
    bad = {name for name, one in expected if one["severity"] == "error"}
    assert list(pools.settings.pools) == [name for name in case["pools"] if name not in bad]


def test_the_cases_are_many_and_have_names_of_their_own() -> None:
    """Every corner of the API has its case."""
    ids = [[case["id"] for case in cases(name)] for name in ("taken", "refused", "semantic")]
    assert sum(map(len, ids)) >= 100
    assert all(len(set(one)) == len(one) for one in ids)
