"""The platform on Kubernetes: what pods mean, how replicas come and go, and what it does when it may not."""

from __future__ import annotations

from typing import Any

import pytest

from controller.adapters.kubernetes_backoff import ClusterResting
from controller.core.errors import ClusterConflict, ClusterForbidden, ClusterNotFound, ClusterUnavailable
from controller.modelpool.facts import Obstacle
from tests.adapters.fake_api_objects import status_error
from tests.adapters.fake_deployments import DEPLOYMENTS, PODS, deployment
from tests.adapters.kubernetes_world import NOW_S, POOL, PlatformWorld, platform_world, pool_of


def condition(kind: str, status: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


def not_ready(**status: Any) -> dict[str, Any]:
    return {"phase": "Pending", "conditions": [condition("Ready", "False")], **status}


UNSCHEDULABLE = condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes: Insufficient gpu")


@pytest.mark.parametrize(
    ("status", "metadata", "state", "reason"),
    [
        pytest.param(
            not_ready(conditions=[UNSCHEDULABLE]), {}, "warming", "no node: 0/3 nodes: Insufficient gpu", id="gpu"
        ),
        pytest.param(not_ready(), {}, "warming", "starting", id="starts"),
        pytest.param(
            not_ready(
                containerStatuses=[{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]
            ),
            {},
            "warming",
            "ImagePullBackOff: no such image",
            id="image",
        ),
        pytest.param(
            not_ready(
                initContainerStatuses=[{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
                containerStatuses=[{"state": {"waiting": {"reason": "PodInitializing"}}}],
            ),
            {},
            "warming",
            "CrashLoopBackOff",
            id="crashes",
        ),
        pytest.param(
            {"phase": "Running", "conditions": [condition("Ready", "Unknown", reason="NodeStatusUnknown")]},
            {},
            "warming",
            "its node does not answer: NodeStatusUnknown",
            id="node-silent",
        ),
        pytest.param(
            {"phase": "Running", "conditions": [condition("Ready", "True")], "podIP": "10.1.2.3"},
            {},
            "ready",
            "",
            id="serves",
        ),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted", "message": "low on disk"},
            {},
            "lost",
            "Evicted: low on disk",
            id="over",
        ),
        pytest.param(
            {"phase": "Running", "conditions": [condition("Ready", "True")], "podIP": "fd00::7"},
            {"annotations": {"spillway.dev/draining": "2026-11-26T12:00:00Z"}},
            "draining",
            "",
            id="marked",
        ),
        pytest.param(
            not_ready(),
            {"deletionTimestamp": "2026-11-26T12:00:00Z"},
            "draining",
            "its pod is being deleted",
            id="deleted",
        ),
    ],
)
async def test_what_a_pod_means(status: dict[str, Any], metadata: dict[str, Any], state: str, reason: str) -> None:
    """State and reason of a replica, as the pod tells them."""
    async with platform_world(1, ready=False) as world:
        pod = world.behind.pods("d")[0]
        await world.api.put(PODS, {**pod, "metadata": {**pod["metadata"], **metadata}, "status": status})
        await world.seen()
        found = (await world.listed())["d-abc-1"]
        address = status.get("podIP", "")
        assert (found.state.value, found.reason, found.pool) == (state, reason, "p")
        assert found.url == {"10.1.2.3": "http://10.1.2.3:8000", "fd00::7": "http://[fd00::7]:8000"}.get(address, "")


async def test_other_peoples_pods_are_none_of_ours() -> None:
    """Neither pods with other labels nor those of another owner; a bare one will be taken in and counts."""
    async with platform_world(1) as world:
        for name, labels, owners in (
            ("other", {"app": "x"}, []),
            ("job", {"app": "d"}, [{"kind": "Job", "name": "d-abc", "controller": True}]),
            ("namesake", {"app": "d"}, [{"kind": "ReplicaSet", "name": "d-d-abc", "controller": True}]),
            ("bare", {"app": "d"}, [{"kind": "Node", "name": "n"}]),
        ):
            metadata = {"name": name, "labels": labels, "ownerReferences": owners}
            await world.api.put(PODS, {"metadata": metadata, "spec": {}, "status": {}})
        await world.platform.start(POOL)
        await world.seen()
        assert sorted(await world.listed()) == ["bare", "d-abc-1"]


async def test_one_more_is_asked_for_and_comes() -> None:
    """A start is one more by the scale subresource; until its pod is there a place for it is listed."""
    async with platform_world(1) as world:
        name = await world.platform.start(POOL)
        assert world.replicas() == 2
        assert await world.states() == {"d-abc-1": "ready", name: "warming"}
        place = (await world.listed())[name]
        assert (place.reason, place.started_at_s, place.ready_at_s) == ("no pod yet", NOW_S, NOW_S + 100.0)
        await world.settle(ready=False)
        assert await world.states() == {"d-abc-1": "ready", "d-abc-2": "warming"}
        await world.settle()
        assert await world.states() == {"d-abc-1": "ready", "d-abc-2": "ready"}
        assert world.api.writes() == [("PUT", "/apis/apps/v1/namespaces/models/deployments/d/scale")]


async def test_that_very_pod_goes() -> None:
    """Marked with the lowest cost, then shrunk for: the ReplicaSet takes the one that was chosen, not the youngest."""
    async with platform_world(3) as world:
        await world.platform.list_replicas(POOL)
        await world.platform.mark_draining("d-abc-2")
        assert (await world.states())["d-abc-2"] == "draining"
        await world.platform.mark_draining("d-abc-2")
        marks = world.api.get(PODS, "d-abc-2")["metadata"]["annotations"]
        assert marks["controller.kubernetes.io/pod-deletion-cost"] == "-2147483647"
        assert marks["spillway.dev/draining"].startswith("2027-01-15T08:00:00")
        await world.platform.remove("d-abc-2")
        await world.platform.remove("d-abc-2")
        assert world.replicas() == 2
        assert len(world.api.writes()) == 2
        await world.settle()
        assert world.behind.killed == ["d-abc-2"]
        assert await world.states() == {"d-abc-1": "ready", "d-abc-3": "ready"}


async def test_that_very_pod_goes_while_others_start() -> None:
    """One that loads its weights would be taken first: so the pod is deleted by itself, and its replacement goes."""
    async with platform_world(2) as world:
        await world.platform.start(POOL)
        await world.settle(ready=False)
        await world.platform.list_replicas(POOL)
        await world.platform.mark_draining("d-abc-1")
        await world.platform.remove("d-abc-1")
        assert world.replicas() == 2
        assert not world.api.has(PODS, "d-abc-1")
        await world.settle()
        assert await world.states() == {"d-abc-2": "ready", "d-abc-3": "ready"}


async def test_a_pod_on_its_way_out_shrinks_nothing() -> None:
    """It may take minutes to end: it is listed as draining, and no more is done for it."""
    async with platform_world(2) as world:
        world.behind.keeps = True
        await world.platform.list_replicas(POOL)
        await world.platform.mark_draining("d-abc-1")
        await world.platform.remove("d-abc-1")
        await world.settle()
        for _ in range(3):
            assert await world.states() == {"d-abc-1": "draining", "d-abc-2": "ready"}
            await world.platform.remove("d-abc-1")
        assert world.replicas() == 1


async def test_what_is_over_is_cleared_away() -> None:
    """A failed pod is deleted; its ReplicaSet has replaced it already, so nothing shrinks."""
    async with platform_world(2) as world:
        pod = world.api.get(PODS, "d-abc-1")
        await world.api.put(PODS, {**pod, "status": {"phase": "Failed", "reason": "Evicted"}})
        await world.settle(ready=False)
        assert await world.states() == {"d-abc-1": "lost", "d-abc-2": "ready", "d-abc-3": "warming"}
        await world.platform.remove("d-abc-1")
        assert not world.api.has(PODS, "d-abc-1")
        assert world.replicas() == 2


async def test_places_without_a_pod_are_taken_back() -> None:
    """A quota leaves a place without a pod: it says why, is drained without a write, and given back."""
    async with platform_world(2) as world:
        world.behind.quota = 2
        await world.platform.start(POOL)
        await world.settle()
        name = "d#1"
        assert (await world.listed())[name].reason.startswith('no pod: pods "x" is forbidden: exceeded quota')
        (trouble,) = world.platform.troubles_of("p")
        assert trouble.obstacle is Obstacle.QUOTA_EXCEEDED
        await world.platform.mark_draining(name)
        assert (await world.states())[name] == "draining"
        assert (await world.listed())[name].ready_at_s is None
        await world.platform.remove(name)
        assert world.replicas() == 2
        assert sorted(await world.listed()) == ["d-abc-1", "d-abc-2"]


async def test_a_rollout_is_not_scaled_away() -> None:
    """The pod that a rollout has too many is not listed, so that nobody drains it."""
    async with platform_world(2) as world:
        item = world.api.get(DEPLOYMENTS, "d")
        await world.api.put(
            DEPLOYMENTS, {**item, "status": {"replicas": 3, "updatedReplicas": 1, "observedGeneration": 1}}
        )
        pod = world.api.get(PODS, "d-abc-1")
        metadata = {**pod["metadata"], "name": "d-new-9", "uid": "new"}
        await world.api.put(PODS, {"metadata": metadata, "spec": {}, "status": {"phase": "Pending"}})
        await world.seen()
        assert await world.states() == {"d-abc-1": "ready", "d-abc-2": "ready"}


async def test_times_of_a_replica() -> None:
    """From the making of its pod to its readiness; a pod that was ready and starts anew begins anew."""
    async with platform_world(1) as world:
        made_s = NOW_S + 1.0
        world.now_s = NOW_S + 60.0
        found = (await world.listed())["d-abc-1"]
        assert (found.started_at_s, found.ready_at_s) == (made_s, made_s + 30.0)
        pod = world.api.get(PODS, "d-abc-1")
        down = {**pod["status"], "conditions": [condition("Ready", "False", lastTransitionTime="2027-01-15T09:00:00Z")]}
        await world.api.put(PODS, {**pod, "status": down})
        await world.seen()
        world.now_s = NOW_S + 3600.0
        found = (await world.listed())["d-abc-1"]
        assert (found.state.value, found.started_at_s, found.ready_at_s) == ("warming", NOW_S + 3600.0, NOW_S + 3700.0)


async def test_a_stale_picture_is_not_acted_on() -> None:
    """Once the API has vouched for nothing for a minute, nothing is listed, and so nothing decided."""
    async with platform_world(1) as world:
        assert world.platform.fresh()
        world.watches[1]._vouched_at_s -= 61.0  # type: ignore[operator]
        with pytest.raises(ClusterUnavailable, match=r"is 6\d s old"):
            await world.platform.list_replicas(POOL)


async def test_a_picture_that_lags_scales_nothing() -> None:
    """The number there is not the one that was decided on: nothing is written until that is seen."""
    async with platform_world(1) as world:
        await world.platform.list_replicas(POOL)
        world.api.watches.lose += ["MODIFIED"]
        item = world.api.get(DEPLOYMENTS, "d")
        await world.api.put(DEPLOYMENTS, {**item, "spec": {**item["spec"], "replicas": 4}})
        with pytest.raises(ClusterConflict, match="shall have 4 replicas and not 1 any more"):
            await world.platform.start(POOL)
        assert world.replicas() == 4
        assert len(await world.listed()) == 4


async def test_status_changes_meanwhile_do_not_matter() -> None:
    """The version moves while the number stays: it is tried again at once."""
    async with platform_world(1) as world:
        moved: list[int] = []

        def moving(request: Any) -> None:
            if request.method == "PUT" and len(moved) < 2:
                moved.append(1)
                world.api.get(DEPLOYMENTS, "d")["metadata"]["resourceVersion"] += "0"

        world.api.faults.append(moving)
        await world.platform.start(POOL)
        assert (world.replicas(), len(moved)) == (2, 2)


async def test_refusals_are_tried_ever_less_often_and_for_that_pool_alone() -> None:
    """403 on one Deployment: pauses of 1, 2, 4 ... 60 s; the other pool goes on; the words are kept for conditions."""
    async with platform_world(1) as world:
        await world.api.put(DEPLOYMENTS, deployment("e", 1))
        await world.begin(p="d", q="e")
        calls: list[int] = []

        def forbidding(request: Any) -> tuple[int, dict[str, Any]] | None:
            if "deployments/d/scale" in request.path:
                calls.append(1)
                return 403, status_error(403, "Forbidden", "deployments.apps is forbidden")
            return None

        world.api.faults.append(forbidding)
        tried: list[float] = []
        for second in range(200):
            world.now_s = NOW_S + second
            before = len(calls)
            with pytest.raises((ClusterForbidden, ClusterResting)):
                await world.platform.start(POOL)
            if len(calls) > before:
                tried.append(second)
        assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183]
        trouble = world.platform.trouble_of("p")
        assert isinstance(trouble, ClusterForbidden)
        await world.platform.start(pool_of("q"))
        assert world.platform.trouble_of("q") is None
        world.api.faults.clear()
        world.now_s += 60.0
        await world.platform.start(POOL)
        assert world.platform.trouble_of("p") is None


async def hostile_minutes(world: PlatformWorld, seconds: int) -> list[float]:
    """Somebody sets the number back to 1 each time; the seconds at which we wrote."""
    wrote: list[float] = []
    for second in range(seconds):
        world.now_s = NOW_S + second
        before = len(world.api.writes())
        try:
            await world.platform.list_replicas(POOL)
            await world.platform.start(POOL)
        except (ClusterConflict, ClusterResting):
            pass
        wrote += [world.now_s] * (len(world.api.writes()) - before)
        if second % 2:
            item = world.api.get(DEPLOYMENTS, "d")
            if item["spec"]["replicas"] != 1:
                fields = {"manager": "greedy", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
                metadata = {**item["metadata"], "managedFields": [fields]}
                spec = {**item["spec"], "replicas": 1}
                await world.api.put(DEPLOYMENTS, {**item, "metadata": metadata, "spec": spec})
        await world.settle(ready=False)
    return wrote


async def test_nobody_is_fought_with() -> None:
    """Somebody else resets the number for five minutes: four writes a minute at most, and it is said who."""
    async with platform_world(1) as world:
        wrote = await hostile_minutes(world, 150)
        busiest = max(sum(1 for other in wrote if one <= other < one + 60.0) for one in wrote)
        assert busiest <= 4
        trouble = world.platform.trouble_of("p")
        assert trouble is not None
        assert trouble.reason == "FoughtOver"
        assert "'greedy' has set `spec.replicas` of Deployment 'd'" in str(trouble)
        world.now_s += 600.0
        assert world.platform.trouble_of("p") is None


async def test_a_deployment_that_is_not_there() -> None:
    """The pool has no replicas, a start says what to mend, and once it is there all goes on."""
    async with platform_world(1) as world:
        await world.begin(p="gone")
        assert await world.listed() == {}
        assert world.platform.selector_of("p") == ""
        with pytest.raises(ClusterNotFound, match="no Deployment 'gone' in this namespace: make it, or mend"):
            await world.platform.start(POOL)
        assert "mend `spec.scaleTargetRef.name`" in str(world.platform.trouble_of("p"))
        await world.api.put(DEPLOYMENTS, deployment("gone", 1))
        world.now_s += 2.0
        await world.settle()
        await world.platform.start(POOL)
        assert world.replicas("gone") == 2
        assert world.platform.selector_of("p") == "app=gone"
