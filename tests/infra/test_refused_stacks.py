"""What no stack can be: each refusal names the key, the value and what is allowed, before anything is built."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from stacks import TODAY, changed, write

from infra.settings import StackProblems, from_config, identify, load_stack, load_unpriced

HERE = Path(__file__).parent
REFUSED: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "refused_stacks.yaml").read_text(encoding="utf-8"))
GOOD_TOO: dict[str, dict[str, object]] = yaml.safe_load((HERE / "good_stacks.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", REFUSED)
def test_a_stack_that_cannot_be_is_refused(row: str, tmp_path: Path) -> None:
    """With the key as it is written, its value, the reason and what would do; a line where the file has the key."""
    wanted = REFUSED[row]
    file = write(tmp_path, changed(wanted["changes"]))
    with pytest.raises(StackProblems) as refused:
        load_stack(file, today=TODAY)
    problems = [problem for problem in refused.value.problems if problem.key == f"spillway:{wanted['key']}"]
    found = [problem for problem in problems if wanted["message"] in problem.message]
    assert found, str(refused.value)
    assert (found[0].file, found[0].value) == (str(file), wanted["value"])
    assert wanted["allowed"] in found[0].allowed
    assert all(problem.severity == "error" for problem in refused.value.problems)


@pytest.mark.parametrize("row", GOOD_TOO)
def test_a_stack_that_can_be_is_loaded(row: str, tmp_path: Path) -> None:
    """What is near a refusal and is none."""
    stack = changed(GOOD_TOO[row])
    assert load_stack(write(tmp_path, stack), today=TODAY) == from_config(stack, today=TODAY)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """Of shape and of substance, in one run; what a wrong value stands for is no second problem."""
    stack = changed(
        {
            "nmae": "x",
            "region": "us-east-9",
            "cluster.version": "1.20",
            "gpu_pools.a10g.max_nodes": "many",
            "models.mixtral.tensor_parallel": 2,
            "secrets": {},
        }
    )
    with pytest.raises(StackProblems) as refused:
        load_stack(write(tmp_path, stack), today=TODAY)
    assert sorted(problem.key for problem in refused.value.problems) == [
        "spillway:cluster.version",
        "spillway:gpu_pools.a10g.max_nodes",
        "spillway:models.mixtral.tensor_parallel",
        "spillway:nmae",
        "spillway:region",
        "spillway:secrets.hf_token",
    ]


def test_a_stack_of_nothing_but_wrong_values_is_refused(tmp_path: Path) -> None:
    """Told by its shape, and by what its defaults lack."""
    stack: dict[str, object] = {
        "name": 1,
        "region": 2,
        "budget_usd_per_month": [],
        "gpu_pools": 3,
        "models": 4,
        "network": 5,
    }
    with pytest.raises(StackProblems) as refused:
        load_stack(write(tmp_path, stack), today=TODAY)
    assert sorted(problem.key for problem in refused.value.problems) == [f"spillway:{key}" for key in sorted(stack)]


def test_a_stack_whose_only_pool_is_wrong_is_judged_all_the_same(tmp_path: Path) -> None:
    """Something stands in for it, of which nothing is said; models on it are not told that it is missing."""
    pools = {"a100": {"instance_type": "p4d.24xlarge", "max_nodes": "many"}}
    models = {"mixtral": {"model": "mixtral-8x7b-self", "pool": "a100", "tensor_parallel": 3}}
    with pytest.raises(StackProblems) as refused:
        load_stack(write(tmp_path, changed({"gpu_pools": pools, "models": models})), today=TODAY)
    assert [problem.key for problem in refused.value.problems] == [
        "spillway:gpu_pools.a100.max_nodes",
        "spillway:models.mixtral.tensor_parallel",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("config: [1, 2]\n", "must be a mapping"),
        ("config:\n  spillway:name: x\n  spillway:name: y\n", "stands twice, first on line 2"),
        ("config: {}\n", "is missing"),
        ("", "is missing"),
    ],
    ids=["no-file", "no-mapping", "twice", "nothing", "empty"],
)
def test_a_file_that_is_no_stack_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    """Said of the file, or of every key it lacks."""
    file = tmp_path / "Pulumi.test.yaml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(StackProblems) as refused:
        load_stack(file, today=TODAY)
    assert any(problem.message == message for problem in refused.value.problems), str(refused.value)


def test_a_problem_has_its_line(tmp_path: Path) -> None:
    """That of the key, or of what it is missing in."""
    file = write(tmp_path, changed({"models.mixtral.tensor_parallel": 2}))
    wanted = next(n for n, line in enumerate(file.read_text().splitlines(), 1) if "tensor_parallel: 2" in line)
    with pytest.raises(StackProblems) as refused:
        load_stack(file, today=TODAY)
    assert [problem.line for problem in refused.value.problems] == [wanted]


def test_the_day_decides(tmp_path: Path) -> None:
    """The same file is fine before a version's end and refused after it; without a day, now is meant."""
    file = write(tmp_path, changed({"cluster.version": "1.34"}))
    assert load_stack(file, today=date(2026, 12, 1)).cluster.version == "1.34"
    with pytest.raises(StackProblems, match="is out of standard support since 2026-12-02"):
        load_stack(file, today=date(2026, 12, 2))
    with pytest.raises(StackProblems, match=r"1\.31"):
        load_stack(write(tmp_path, changed({"cluster.version": "1.31"})))


def test_preflight_reads_a_stack_whose_prices_are_not_known(tmp_path: Path) -> None:
    """It is there to read them; whatever else is wrong is refused as always."""
    unpriced = {"region": "us-west-2", "gpu_pools.l4": {"instance_type": "g6.2xlarge"}, "budget_usd_per_month": 1}
    assert load_unpriced(write(tmp_path, changed(unpriced)), today=TODAY).region == "us-west-2"
    with pytest.raises(StackProblems) as refused:
        load_unpriced(write(tmp_path, changed({**unpriced, "cluster.version": "1.31"})), today=TODAY)
    assert [problem.key for problem in refused.value.problems] == ["spillway:cluster.version"]
    with pytest.raises(StackProblems, match="spillway:network"):
        load_unpriced(write(tmp_path, changed({"network": 5})), today=TODAY)


def test_a_stack_is_identified_whatever_else_is_wrong(tmp_path: Path) -> None:
    """What it left can be found long after its version is out of support; without name or region it cannot."""
    old = changed({"cluster.version": "1.20", "gpu_pools.a100.max_nodes": "many", "tags": 5})
    assert identify(write(tmp_path, old)) == ("spillway-test", "us-east-1")
    for key, value in (("name", "absent"), ("region", 7)):
        with pytest.raises(StackProblems, match=f"spillway:{key}"):
            identify(write(tmp_path, changed({key: value})))
    with pytest.raises(StackProblems, match="cannot be read"):
        identify(tmp_path / "Pulumi.none.yaml")


def test_objects_that_are_no_json_are_refused_as_text() -> None:
    """What Pulumi hands over as text, and is neither."""
    with pytest.raises(StackProblems, match="spillway:network: must be a mapping"):
        from_config({**changed({}), "network": "{az_count: 3"}, today=TODAY)
