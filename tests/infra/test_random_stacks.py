"""Whatever stands in the file of a stack: it is loaded, or every problem is told; nothing else ever happens."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stacks import GOOD, TODAY, changed

from controller.core.errors import Problem
from infra.plan import Plan, plan, table
from infra.schema import StackSettings
from infra.settings import StackProblems, examine, from_config, load_stack

BLOCK = {
    "kind": "capacity-block",
    "id": "cr-0123456789abcdef0",
    "starts_at": "2026-12-01T11:30:00Z",
    "ends_at": "2026-12-08T11:30:00Z",
}
WIDE = changed(
    {
        "gpu_pools.a100.capacity": BLOCK,
        "gpu_pools.a100.availability_zones": ["us-east-1b"],
        "gpu_pools.a10g.capacity": {"kind": "spot"},
        "network.vpc_cidr": "10.0.0.0/16",
        "network.pods_cidr": "100.64.0.0/16",
        "network.availability_zones": ["us-east-1a", "us-east-1b"],
        "cluster.public_endpoint_cidrs": ["203.0.113.0/24"],
        "core_nodes": {"instance_type": "m6a.xlarge", "max_nodes": 4},
        "edge": {"kind": "internal", "allowed_cidrs": ["10.0.0.0/8"]},
        "database": {"instance_class": "db.t4g.medium"},
        "secrets.provider_keys": {"OPENAI_API_KEY": "spillway/test/openai"},
        "tags": {"team": "platform"},
        "node_autoscaling": {"kind": "karpenter"},
    }
)


def places(node: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place below a value."""
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in below:
        yield (*above, key)
        yield from places(value, (*above, key))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-2, 64),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["us-east-9", "eu-west-1", "eu-north-1", "p4d.24xlarge", "g6.2xlarge", "x1.large", "10.0.0.0/8", "0.0.0.0/0",
         "100.64.0.0/26", "1.31", "1.33", "1.99", "llama-70b-self", "gpt-4o", "a10g", "none", "9999-12-31T23:59:59Z",
         "0001-01-01T00:00:00Z", "us-east-1a", "us-east-1z", "spot", "EXTENDED", "fp8"]
    ),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=5,
)
CHANGES = st.lists(st.tuples(st.sampled_from(sorted(places(WIDE), key=str)), VALUES), min_size=1, max_size=4)


def _below(node: object, part: str | int) -> object:
    """What stands there; None where nothing does any more."""
    if isinstance(node, list):
        return node[part] if isinstance(part, int) and part < len(node) else None
    return node.get(part) if isinstance(node, dict) else None


def mutated(changes: list[tuple[tuple[str | int, ...], object]]) -> dict[str, object]:
    """The wide stack with values at places put in, as far as the places are still there."""
    stack = deepcopy(WIDE)
    for place, value in changes:
        node: object = stack
        for part in place[:-1]:
            node = _below(node, part)
        last = place[-1]
        if isinstance(node, dict) or (isinstance(node, list) and isinstance(last, int) and last < len(node)):
            node[last] = value  # type: ignore[index]  # a key for a mapping, an index for a list
    return stack


@given(CHANGES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_stack_is_loaded_or_refused(changes: list[tuple[tuple[str | int, ...], object]]) -> None:
    """Each problem has a key, words and allowed values, on one line each."""
    problems: tuple[Problem, ...] = ()
    try:
        assert isinstance(from_config(mutated(changes), today=TODAY), StackSettings)
    except StackProblems as refused:
        problems = refused.problems
    for problem in problems:
        assert problem.key.startswith("spillway")
        assert problem.message
        assert problem.severity == "error"
        assert "\n" not in str(problem)


@given(CHANGES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_has_the_right_shape_has_a_table(changes: list[tuple[tuple[str | int, ...], object]]) -> None:
    """Also where it cannot be built; sums are never negative."""
    try:
        stack = StackSettings.model_validate(mutated(changes))
    except ValueError:
        return
    whole = plan(stack, today=TODAY)
    assert isinstance(whole, Plan)
    assert 0 <= whole.total_usd_per_month <= whole.most_usd_per_month + 1e-6 or any(
        row.nodes > row.max_nodes for row in whole.pools
    )
    assert table(whole)


@pytest.mark.parametrize("raw", [b"\x00\xff", b"[1, 2", b"config: {spillway:name: 2026-13-45}", b"? [a]: b", b"- x"])
def test_any_bytes_are_a_file_that_is_refused(raw: bytes, tmp_path: Path) -> None:
    """Without a table."""
    file = tmp_path / "Pulumi.test.yaml"
    file.write_bytes(raw)
    whole, problems = examine(file, today=TODAY)
    assert whole is None
    assert problems
    with pytest.raises(StackProblems):
        load_stack(file, today=TODAY)


def test_the_wide_stack_is_a_good_one() -> None:
    """What is changed at random can be built as it is, but for the block that has no price there."""
    with pytest.raises(StackProblems) as refused:
        from_config(yaml.safe_load(yaml.safe_dump(WIDE)), today=TODAY)
    assert [problem.key for problem in refused.value.problems] == ["spillway:gpu_pools.a100.usd_per_hour"]
    assert from_config(GOOD, today=TODAY).name == "spillway-test"
