"""The platform on Kubernetes: what pods mean, how replicas come and go, and what it does when it may not."""

from __future__ import annotations

from typing import Any

import pytest

from controller.modelpool.facts import Obstacle
from tests.adapters.fake_deployments import DEPLOYMENTS, PODS
from tests.adapters.kubernetes_world import NOW_S, POOL, platform_world


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


async def test_a_place_that_was_to_go_is_recalled_before_one_more_is_asked_for() -> None:
    """Its pod may be there already and not be seen yet: the number is not raised beyond what is wished."""
    async with platform_world(1) as world:
        name = await world.platform.start(POOL)
        await world.platform.mark_draining(name)
        assert (await world.states())[name] == "draining"
        assert await world.platform.start(POOL) == name
        assert ((await world.states())[name], world.replicas()) == ("warming", 2)
        assert await world.platform.start(POOL) != name
        assert world.replicas() == 3


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
