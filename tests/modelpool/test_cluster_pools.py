"""Settings of a cluster: which pools stand together, what goes on when one is spoilt, and what is told besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pool_cases import KEYS, SPILLWAY_YAML, TODAY, stored
from pool_values import NOW_S

from controller.core.errors import ConfigError
from controller.modelpool.cluster_pools import (
    ClusterBase,
    ClusterPools,
    cluster_pools,
    facts_of,
    load_base,
    versions_of,
)
from controller.modelpool.facts import Obstacle, Trouble
from controller.modelpool.status import pool_status

MIXTRAL = {"model": "mixtral-8x7b-self", "instanceType": "p4d.24xlarge", "engine": {"tensorParallel": 4}}
TO_LLAMA = {**MIXTRAL, "spill": {"to": ["llama-8b-self", "gpt-6-terra"]}}
TO_MIXTRAL = {"spill": {"to": ["mixtral-8x7b-self"]}}


def _base(folder: Path, more: str = "", environ: dict[str, str] | None = None) -> ClusterBase:
    file = folder / "spillway.yaml"
    file.write_text(SPILLWAY_YAML + more, encoding="utf-8")
    return load_base(file, KEYS if environ is None else environ, today=TODAY)


@pytest.fixture
def base(tmp_path: Path) -> ClusterBase:
    """spillway.yaml with a node pool."""
    return _base(tmp_path)


def _accepted(source: dict[str, Any], pools: ClusterPools) -> dict[str, Any]:
    """The object once its controller has published what it thinks of it."""
    return {**source, "status": pool_status(facts_of(pools, source, now_s=NOW_S), None, source.get("status"), NOW_S)}


def test_settings_are_those_of_the_file_with_the_pools(base: ClusterBase) -> None:
    """Pools, where their pods serve, their step times; oldest first."""
    young = stored("a", creationTimestamp="2026-11-26T11:00:00Z")
    old = stored("b", {**MIXTRAL, "engine": {"tensorParallel": 4, "port": 8001}})
    pools = cluster_pools(base, [young, old])
    assert list(pools.settings.pools) == ["b", "a"]
    assert set(pools.settings.step_times) == {"a", "b"}
    assert (pools.targets["b"].deployment, pools.targets["b"].port) == ("b", 8001)
    assert set(pools.settings.node_pools) == {"p4d"}
    assert pools.settings.models["house-8b"].is_own


def test_no_objects_are_no_pools(base: ClusterBase) -> None:
    """Not those that are built in."""
    assert cluster_pools(base, []).settings.pools == {}


def test_who_was_accepted_stays_when_another_closes_a_circle(base: ClusterBase) -> None:
    """The older pool is changed so that chains would loop: it is refused, and the younger one goes on."""
    a, b = stored("a"), stored("b", TO_LLAMA, creationTimestamp="2026-11-26T11:00:00Z")
    before = cluster_pools(base, [a, b])
    assert set(before.good) == {"a", "b"}
    changed = {**stored("a", TO_MIXTRAL, generation=2), "status": _accepted(a, before)["status"]}
    after = cluster_pools(base, [changed, _accepted(b, before)])
    assert list(after.good) == ["b"]
    assert [one.message for one in after.problems["a"] if one.severity == "error"] == ["the chain loops: a -> b -> a"]


def test_who_was_taken_first_stays_before_that_is_published(base: ClusterBase) -> None:
    """Both are of one second, and the later one comes first by name: what the process took an instant ago counts."""
    b, a = stored("b", TO_LLAMA), stored("a", TO_MIXTRAL)
    alone = cluster_pools(base, [b])
    both = cluster_pools(base, [a, b], alone)
    assert list(both.good) == ["b"]
    published = [_accepted(a, both), b]
    assert list(cluster_pools(base, published, both).good) == ["b"]


def test_what_the_controller_published_counts_for_more(base: ClusterBase) -> None:
    """A gateway that took another one of the two, as it saw it first, follows."""
    b, a = stored("b", TO_LLAMA), stored("a", TO_MIXTRAL)
    controller = cluster_pools(base, [a, b])
    assert list(controller.good) == ["a"]
    gateway = cluster_pools(base, [b])
    assert list(cluster_pools(base, [_accepted(a, controller), _accepted(b, controller)], gateway).good) == ["a"]


def test_a_circle_is_one_in_the_order_that_pools_have_in_the_end(base: ClusterBase) -> None:
    """A younger pool of the same model, accepted before it, does not hide it: requests go to the older one."""
    spills_to_b, b = stored("a", TO_MIXTRAL), stored("b", TO_LLAMA)
    younger = stored("c", {**MIXTRAL, "nodePool": "p4d"})
    first = cluster_pools(base, [spills_to_b, b, younger])
    assert list(first.good) == ["a", "c"]
    again = cluster_pools(base, [_accepted(one, first) for one in (spills_to_b, b, younger)])
    assert list(again.good) == ["a", "c"]


def test_a_refused_spec_stays_refused_once_that_is_published(base: ClusterBase) -> None:
    """The order does not turn round because the controller has spoken."""
    a, b = stored("a"), stored("b", {"scaleTargetRef": {"name": "a"}})
    first = cluster_pools(base, [a, b])
    again = cluster_pools(base, [_accepted(b, first), _accepted(a, first)])
    assert list(first.good) == list(again.good) == ["a"]


def test_a_spoilt_spec_goes_on_as_it_was(base: ClusterBase) -> None:
    """In the process that knew the good one; the problem is told all the same."""
    good = cluster_pools(base, [stored("a")])
    spoilt = stored("a", {"model": "llama-8b-slef"}, generation=2)
    pools = cluster_pools(base, [spoilt], good)
    assert pools.settings.pools == good.settings.pools
    assert pools.kept == {"a"}
    assert [one.key for one in pools.problems["a"]] == ["spec.model"]
    facts = facts_of(pools, spoilt, now_s=NOW_S)
    assert facts.is_kept
    assert "The pool goes on as it was before." in str(pool_status(facts, None, None, NOW_S))
    assert cluster_pools(base, [spoilt]).settings.pools == {}


def test_what_was_good_is_not_kept_against_the_others(base: ClusterBase) -> None:
    """The Deployment of the spoilt pool has gone to another one meanwhile."""
    good = cluster_pools(base, [stored("b")])
    a, spoilt = stored("a", {"scaleTargetRef": {"name": "b"}}), stored("b", {"model": "nothing"}, generation=2)
    pools = cluster_pools(base, [a, spoilt], good)
    assert (list(pools.good), pools.kept) == (["a"], frozenset())


def test_shared_nodes_are_full_for_the_younger_pool_alone(base: ClusterBase) -> None:
    """Two of four GPUs each fit the eight; a third does not, until it may do without a replica."""
    on_nodes = {**MIXTRAL, "nodePool": "p4d"}
    objects = [stored(name, on_nodes) for name in "abc"]
    assert list(cluster_pools(base, objects).good) == ["a", "b"]
    objects[2] = stored("c", {**on_nodes, "replicas": {"min": 0}})
    assert list(cluster_pools(base, objects).good) == ["a", "b", "c"]


def test_an_unknown_instance_type_is_told_once(base: ClusterBase) -> None:
    """A pool on nodes that there are not is told so, and its minimum is not counted anywhere."""
    told = cluster_pools(base, [stored("a", {**MIXTRAL, "nodePool": "none"})]).problems["a"]
    assert [one.key for one in told if one.severity == "error"] == ["spec.nodePool"]


def test_tenants_may_name_pools_that_come_later(tmp_path: Path) -> None:
    """Until then it is a warning, and the name lets nothing through."""
    base = _base(tmp_path, "tenants: {acme: {models: [a]}}\n")
    without, with_pool = cluster_pools(base, []), cluster_pools(base, [stored("a")])
    assert _of_tenants(without) == ["no such model or pool"]
    assert without.settings.tenants["acme"].reach.models == {"a"}
    assert with_pool.settings.tenants["acme"].reach.models == {"llama-8b-self"}
    assert _of_tenants(with_pool) == []


def _of_tenants(pools: ClusterPools) -> list[str]:
    return [one.message for one in pools.settings.warnings if one.key.startswith("tenants")]


def test_warnings_of_a_chain_are_its_pools_alone(tmp_path: Path) -> None:
    """They are not told again as the file's."""
    base = _base(tmp_path, environ={})
    pools = cluster_pools(base, [stored("a", {"spill": {"to": ["gpt-oss-20b-groq"]}})])
    assert [one.key for one in pools.problems["a"]] == ["GROQ_API_KEY"]
    assert [one for one in pools.settings.warnings if "gpt-oss-20b-groq" in str(one)] == []


def test_keys_that_only_gateways_hold_are_not_missed(tmp_path: Path) -> None:
    """A controller holds none of its own, and is told which providers have one."""
    spills = stored("a", {"spill": {"to": ["gpt-oss-20b-groq", "gpt-6-luna"]}})
    pools = cluster_pools(_base(tmp_path, environ={"SPILLWAY_PROVIDERS_WITH_KEYS": "anthropic,groq"}), [spills])
    assert [one.key for one in pools.problems["a"]] == ["OPENAI_API_KEY"]


def test_a_file_with_pools_is_refused(tmp_path: Path) -> None:
    """With the words to move them."""
    with pytest.raises(ConfigError, match="each pool is a ModelPool object") as refused:
        _base(tmp_path, "pools: [{name: a, model: llama-8b-self}]\n")
    assert [one.key for one in refused.value.problems] == ["pools"]


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    """As on one machine."""
    with pytest.raises(ConfigError, match="is not YAML"):
        _base(tmp_path, "a: [\n")


def test_endpoint_variables_are_told_to_be_of_no_use(tmp_path: Path) -> None:
    """They make no pool."""
    base = _base(tmp_path, environ={**KEYS, "LLAMA_8B_ENDPOINT": "http://10.0.0.1:8000/v1"})
    assert [one.key for one in base.warnings if "not used on Kubernetes" in one.message] == ["LLAMA_8B_ENDPOINT"]
    assert cluster_pools(base, []).settings.pools == {}


def test_the_state_folder_is_the_flags(tmp_path: Path) -> None:
    """A flag goes before the file."""
    base = load_base(None, KEYS, today=TODAY, state_dir=tmp_path)
    assert cluster_pools(base, []).settings.state_dir == tmp_path


def test_versions_change_with_specs_alone() -> None:
    """A new status is nothing new."""
    a = stored("a")
    assert versions_of([a]) == versions_of([{**a, "status": {"observedGeneration": 1}}])
    assert versions_of([a]) != versions_of([stored("a", generation=2)])
    assert versions_of([a]) != versions_of([stored("a", uid="another")])


def test_facts_have_troubles_selector_and_pin(base: ClusterBase) -> None:
    """What the status is made of beside the view."""
    source = stored("a", {"pin": {"routing": "External"}})
    trouble = Trouble(obstacle=Obstacle.FORBIDDEN, message="no")
    facts = facts_of(cluster_pools(base, [source]), source, troubles=(trouble,), selector="app=a", now_s=NOW_S)
    assert (facts.generation, facts.troubles, facts.selector, facts.is_kept) == (1, (trouble,), "app=a", False)
    assert facts.pin is not None
    assert facts.pool is not None


def test_objects_without_what_the_api_always_fills_in_are_refused_and_break_nothing(base: ClusterBase) -> None:
    """Neither spec nor metadata."""
    pools = cluster_pools(base, [{"metadata": {"name": "a"}}, stored("b")])
    assert list(pools.good) == ["b"]
    assert [one.key for one in pools.problems["a"]] == ["spec.model", "spec.scaleTargetRef"]
