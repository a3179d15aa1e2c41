"""The platform on Kubernetes where it may not, cannot, or is not alone."""

from __future__ import annotations

from typing import Any

import pytest

from controller.core.errors import (
    ClusterConflict,
    ClusterForbidden,
    ClusterNotFound,
    ClusterResting,
    ClusterUnavailable,
)
from tests.adapters.fake_api_objects import status_error
from tests.adapters.fake_deployments import DEPLOYMENTS, deployment
from tests.adapters.kubernetes_world import NOW_S, POOL, PlatformWorld, platform_world, pool_of


async def test_a_stale_picture_is_not_acted_on() -> None:
    """Once the API has vouched for nothing for a minute, nothing is listed, and so nothing decided."""
    async with platform_world(1) as world:
        assert world.platform.fresh()
        world.watches[1]._vouched_at_s -= 61.0  # type: ignore[operator]
        with pytest.raises(ClusterUnavailable, match=r"is 6\d s old"):
            await world.platform.list_replicas(POOL)


async def _set(world: PlatformWorld, replicas: int) -> None:
    """Somebody else, or who led before, sets the number."""
    item = world.api.get(DEPLOYMENTS, "d")
    await world.api.put(DEPLOYMENTS, {**item, "spec": {**item["spec"], "replicas": replicas}})


async def test_a_picture_that_lags_scales_nothing() -> None:
    """The number there is not the one that was decided on: nothing is written until that is seen."""
    async with platform_world(1) as world:
        await world.platform.list_replicas(POOL)
        world.api.watches.lose += ["MODIFIED"]
        await _set(world, 4)
        with pytest.raises(ClusterConflict, match="shall have 4 replicas and not 1 any more"):
            await world.platform.start(POOL)
        assert world.replicas() == 4
        assert len(await world.listed()) == 4


async def test_what_was_decided_on_another_number_scales_nothing() -> None:
    """The watch says a new number between a listing and what was decided on it: two more were not meant of that one."""
    async with platform_world(1) as world:
        await world.platform.list_replicas(POOL)
        await _set(world, 3)
        await world.seen()
        for _ in range(2):
            with pytest.raises((ClusterConflict, ClusterResting), match="shall have 3 replicas and not 1 any more"):
                await world.platform.start(POOL)
        assert world.replicas() == 3
        assert world.api.writes() == []
        assert len(await world.listed()) == 3
        world.now_s += 1.0
        await world.platform.start(POOL)
        await world.platform.start(POOL)
        assert world.replicas() == 5


async def test_what_was_decided_on_another_number_removes_nothing() -> None:
    """Neither a pod nor a place: what is to go is decided anew on the number that there is."""
    async with platform_world(3) as world:
        await world.platform.mark_draining("d-abc-2")
        place = await world.platform.start(POOL)
        await world.platform.list_replicas(POOL)
        await _set(world, 5)
        await world.seen()
        written = len(world.api.writes())
        for replica in ("d-abc-2", place):
            with pytest.raises(ClusterConflict, match="shall have 5 replicas and not 4 any more"):
                await world.platform.remove(replica)
            world.now_s += 8.0
        assert (world.replicas(), len(world.api.writes())) == (5, written)


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
