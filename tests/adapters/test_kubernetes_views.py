"""What a gateway routes by, out of ModelPools and pods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from controller.adapters.kubernetes_kinds import Json
from controller.adapters.kubernetes_views import Views, deployment_of
from controller.core.fleet import PoolView, ReplicaState, RoutingMode
from controller.modelpool.cluster_pools import GoodPool, cluster_pools
from tests.adapters.fleet_objects import NAME, NOW_S, base, model_pool, pod, routing

READY, WARMING, DRAINING, LOST = ReplicaState.READY, ReplicaState.WARMING, ReplicaState.DRAINING, ReplicaState.LOST


@pytest.fixture
def good(tmp_path: Path) -> Mapping[str, GoodPool]:
    """One pool, checked."""
    return cluster_pools(base(tmp_path), [model_pool()]).good


def named(*items: Json) -> dict[str, Json]:
    """By name, as a watch has them."""
    return {item["metadata"]["name"]: item for item in items}


def looked(good: Mapping[str, GoodPool], *pods: Json, status: Json | None = None) -> PoolView:
    """The pool with these pods."""
    views = Views()
    views.look(good, named(model_pool(status=status)), named(*pods), NOW_S)
    return views.view.pools[NAME]


@pytest.mark.parametrize(
    ("item", "state"),
    [
        (pod(), READY),
        (pod(ready=False), WARMING),
        (pod(draining=True), DRAINING),
        (pod(deleted=True), DRAINING),
        (pod(ready=False, phase="Failed"), LOST),
    ],
    ids=["ready", "not ready", "annotated", "deleted", "failed"],
)
def test_a_pod_says_itself_what_it_is(good: Mapping[str, GoodPool], item: Json, state: ReplicaState) -> None:
    """Whatever the status of the ModelPool says, which may be old."""
    [replica] = looked(good, item).replicas
    assert (replica.state, replica.replica_id, replica.url) == (state, f"{NAME}-a", "http://10.0.0.1:8000")


def test_the_status_says_where_requests_go(good: Mapping[str, GoodPool]) -> None:
    """Mode and share of the controller; without a status the pool is local."""
    view = looked(good, pod(), status=routing("Spilling", 35, coldStartSeconds=[90, 110, 100]))
    assert (view.mode, view.spill_ratio, view.cold_starts_s) == (RoutingMode.SPILLING, 0.35, (90.0, 110.0, 100.0))
    assert looked(good, pod()).mode is RoutingMode.LOCAL


def test_a_warming_pod_is_due_when_those_before_it_were_ready(good: Mapping[str, GoodPool]) -> None:
    """By the cold starts that the status has learned."""
    view = looked(good, pod(ready=False), status=routing(coldStartSeconds=[90, 110, 100]))
    assert view.replicas[0].ready_at_s == view.replicas[0].started_at_s + 100.0


@pytest.mark.parametrize(
    "item",
    [
        pod(deployment="other"),
        pod(owner="Job"),
        {**pod(), "metadata": {"name": "alone", "uid": "u", "labels": {"app": NAME}}},
    ],
    ids=["another Deployment", "a Job", "nobody's"],
)
def test_pods_of_others_are_no_replicas(good: Mapping[str, GoodPool], item: Json) -> None:
    """Only the ReplicaSet of the pool's own Deployment makes one, whatever labels say."""
    assert looked(good, item).replicas == ()


def test_a_deployment_whose_name_begins_like_another() -> None:
    """`llama-8b` is not `llama`, nor is a ReplicaSet that somebody named like one."""
    assert deployment_of(pod(deployment="llama-8b")) == "llama-8b"
    stranger = pod()
    stranger["metadata"]["ownerReferences"][0]["name"] = f"{NAME}-mine"
    assert deployment_of(stranger) is None


def test_what_requests_do_not_go_by_makes_no_other_view(good: Mapping[str, GoodPool]) -> None:
    """Saturation and decisions change all the time; a view is compared by `is` for each request."""
    views, pods = Views(), named(pod())
    assert views.look(good, named(model_pool(status=routing(saturationPercent=10))), pods, NOW_S)
    before = views.view
    assert not views.look(good, named(model_pool(status=routing(saturationPercent=90))), pods, NOW_S + 1)
    assert views.view is before
    assert views.look(good, named(model_pool(status=routing("External", 100))), pods, NOW_S + 2)
    assert views.view.revision == before.revision + 1


def test_a_pod_that_starts_again_is_another_engine(good: Mapping[str, GoodPool]) -> None:
    """Its name is the same, its prefix cache is not: it began anew when it stopped being ready."""
    views, pools = Views(), named(model_pool())
    began = []
    for ready, now_s in ((True, NOW_S), (False, NOW_S + 60), (True, NOW_S + 90)):
        views.look(good, pools, named(pod(ready=ready)), now_s)
        began.append(views.view.pools[NAME].replicas[0].started_at_s)
    assert began[1] == began[2] == NOW_S + 60
    assert began[0] < NOW_S


def test_hundreds_of_pods_that_come_and_go_leave_nothing_behind(good: Mapping[str, GoodPool]) -> None:
    """What is remembered is of pods that are there."""
    views = Views()
    for number in range(300):
        views.look(good, named(model_pool()), named(pod(f"n{number}")), NOW_S + number)
    assert len(views._seen) == len(views._lives._lives) == 1


def test_gateways_know_how_many_they_are(good: Mapping[str, GoodPool]) -> None:
    """Those that are ready: each takes the others to have as much under way as itself."""
    views, pools = Views(), named(model_pool())
    labels = {"app.kubernetes.io/name": "spillway", "app.kubernetes.io/component": "gateway"}
    gateways = [pod(name, deployment="gateway", ready=name != "c", deleted=name == "d") for name in "abcd"]
    for one in gateways:
        one["metadata"]["labels"] |= labels
    views.look(good, pools, named(pod()), NOW_S)
    assert views.view.gateways == 1
    assert views.look(good, pools, named(pod(), *gateways), NOW_S)
    assert views.view.gateways == 2


def test_a_pool_without_an_object_has_no_view(good: Mapping[str, GoodPool]) -> None:
    """And one that comes back has."""
    views = Views()
    views.look(good, named(model_pool()), named(pod()), NOW_S)
    assert views.look({}, {}, named(pod()), NOW_S)
    assert views.view.pools == {}
    assert views.look(good, named(model_pool()), named(pod()), NOW_S)
    assert list(views.view.pools) == [NAME]
