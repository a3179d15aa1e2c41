"""What holds of any set of ModelPools: nobody's order of looking matters, and what is bad by itself harms nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_cases import KEYS, SPILLWAY_YAML, TODAY, stored
from pool_values import NOW_S

from controller.config.check import is_refused
from controller.modelpool.cluster_pools import ClusterBase, cluster_pools, facts_of, load_base
from controller.modelpool.status import pool_status

ON_FOUR = {"instanceType": "p4d.24xlarge", "engine": {"tensorParallel": 4}}
SPECS: list[dict[str, Any]] = [
    {},
    {"spill": {"to": ["gpt-6-luna", "mixtral-8x7b-self"]}},
    {**ON_FOUR, "model": "mixtral-8x7b-self", "spill": {"to": ["llama-8b-self", "gpt-6-terra"]}},
    {**ON_FOUR, "model": "mixtral-8x7b-self", "nodePool": "p4d"},
    {**ON_FOUR, "model": "mixtral-8x7b-self", "nodePool": "p4d", "replicas": {"min": 2}},
    {"scaleTargetRef": {"name": "shared"}},
]
BAD: list[dict[str, Any]] = [
    {"model": "nothing"},
    {"engine": {"tensorParallel": 3}},
    {"spill": {"to": ["llama-8b-self"]}},
    {"instanceType": "g5.huge"},
    {"nodePool": "none"},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ClusterBase:
    """spillway.yaml with a node pool."""
    file: Path = tmp_path_factory.mktemp("base") / "spillway.yaml"
    file.write_text(SPILLWAY_YAML, encoding="utf-8")
    return load_base(file, KEYS, today=TODAY)


def _objects(specs: list[dict[str, Any]], hours: list[int]) -> list[dict[str, Any]]:
    return [
        stored(f"p{index}", spec, creationTimestamp=f"2026-11-26T{hour:02}:00:00Z")
        for index, (spec, hour) in enumerate(zip(specs, hours, strict=False))
    ]


_fleets = st.builds(
    _objects,
    st.lists(st.sampled_from(SPECS + BAD), max_size=7),
    st.lists(st.integers(0, 3), min_size=7, max_size=7),
)


@settings(max_examples=60)
@given(fleet=_fleets, draw=st.data())
def test_the_order_of_looking_does_not_matter(
    base: ClusterBase, fleet: list[dict[str, Any]], draw: st.DataObject
) -> None:
    """Controller and gateways list in orders of their own, and agree."""
    one, other = cluster_pools(base, fleet), cluster_pools(base, draw.draw(st.permutations(fleet)))
    assert list(one.settings.pools.items()) == list(other.settings.pools.items())
    assert one.problems == other.problems


@settings(max_examples=60)
@given(fleet=_fleets, spec=st.sampled_from(BAD), hour=st.integers(0, 3))
def test_what_is_bad_by_itself_changes_nothing_for_others(
    base: ClusterBase, fleet: list[dict[str, Any]], spec: dict[str, Any], hour: int
) -> None:
    """Whenever it was made."""
    bad = stored("bad", spec, creationTimestamp=f"2026-11-26T{hour:02}:30:00Z")
    without, beside = cluster_pools(base, fleet), cluster_pools(base, [*fleet, bad])
    assert without.settings.pools == beside.settings.pools
    assert without.problems == {name: found for name, found in beside.problems.items() if name != "bad"}
    assert is_refused(beside.problems["bad"])


@settings(max_examples=60)
@given(fleet=_fleets)
def test_a_verdict_stands_once_it_is_published(base: ClusterBase, fleet: list[dict[str, Any]]) -> None:
    """Also after a restart, with statuses as the controller wrote them; each pool is good or has an error."""
    first = cluster_pools(base, fleet)
    for one in fleet:
        name = one["metadata"]["name"]
        assert (name in first.good) != is_refused(first.problems.get(name, ()))
    published = [{**one, "status": pool_status(facts_of(first, one, now_s=NOW_S), None, None, NOW_S)} for one in fleet]
    assert cluster_pools(base, published).good == first.good
