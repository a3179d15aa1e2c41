"""Fault group D, watches: frozen, incomplete, too old, repeated, in the wrong order; lists of yesterday."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import pytest

from tests.cluster.api_faults import WatchFaults, deleted
from tests.cluster.apiserver_proxy import ApiserverProxy
from tests.cluster.deploying_plane import manager_begins_anew
from tests.cluster.etcd_history import forget_history
from tests.cluster.handle import ControlPlane
from tests.faults.caller import ANSWERED
from tests.faults.cluster_fleet import AUTOSCALE, PAIR, Fleet, Shape
from tests.faults.fleet_on_kubernetes import fleet_row
from tests.faults.gateway_process import POOL
from tests.faults.play import play
from tests.faults.stub import Stub
from tests.faults.world import eventually

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(400)]

LIMIT_S = 300.0
NOTICED_S = 60.0
PATIENCE_S = 120.0  # of the row itself, on a busy machine
KINDS = ("pods", "deployments", "modelpools")
EXPIRED_S = 12.0
MEANWHILE_S = 0.3
SLOW = {**AUTOSCALE, "scaleDownCooldownSeconds": 3600}  # only a pin takes a replica away


def _proxies(fleet: Fleet) -> list[ApiserverProxy]:
    return [fleet.gateway_proxy, *(one.proxy for one in fleet.controllers)]


def test_d4_watches_frozen(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """A pod that comes meanwhile is used within a minute, one that goes is left at once; no request fails."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, PAIR, "D4", "watches frozen") as (
            fleet,
            line,
        ):
            for proxy in _proxies(fleet):
                proxy.freeze(*KINDS)
            gone, stays = list(fleet.node.serving)
            line.injected()
            await fleet.api.call("DELETE", fleet.path("pods", gone))
            asking = asyncio.create_task(fleet.ask_for(PATIENCE_S))

            def is_used() -> bool:
                return any(one.calls for one in fleet.world.engines if one.name not in (gone, stays))

            line.within("noticed_s", await eventually(is_used, within_s=PATIENCE_S, every_s=0.1), NOTICED_S)
            line.detected()
            asking.cancel()
            for proxy in _proxies(fleet):
                proxy.thaw()
            await fleet.settles(2)
            line.healed()
            fleet.all_answered()

    play(scene(), LIMIT_S)


def test_d4_deleted_events_dropped(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Nobody is sent to a pod that is gone and was never said to be, and nothing is scaled for its sake."""

    async def scene() -> None:
        async with fleet_row(
            fleet_plane, tmp_path, Shape(replicas=3, minimum=2, autoscale=SLOW), "D4", "DELETED events dropped"
        ) as (fleet, line):
            drops = [proxy.spoil("pods", WatchFaults(drops=deleted())) for proxy in _proxies(fleet)]
            line.injected()
            await fleet.pin(2)

            async def has_shrunk() -> bool:
                return len(fleet.node.wards) == 2

            await eventually(has_shrunk, within_s=PATIENCE_S, every_s=0.1)
            left = set(fleet.node.wards)
            await eventually(lambda: all(one.dropped for one in drops), within_s=PATIENCE_S, every_s=0.1)
            line.detected()
            began_s = time.monotonic()
            await fleet.ask_for(10.0)
            assert {one.stub for one in fleet.world.calls if one.began_s > began_s} <= left
            assert fleet.history.counts(POOL) == [3, 2]
            for proxy in _proxies(fleet):
                proxy.heal()
                await asyncio.to_thread(proxy.cut)
            await fleet.pin(3)
            await eventually(lambda: len(fleet.node.serving) == 3, within_s=PATIENCE_S, every_s=0.1)
            line.healed()

    play(scene(), LIMIT_S)


def test_d5_history_gone(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Every watch is answered with 410: lists come no faster than one a second and kind, and ever slower."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, PAIR, "D5", "410 for every watch") as (
            fleet,
            line,
        ):
            for proxy in _proxies(fleet):
                proxy.fail(410, verb="watch", reason="Expired", message="too old resource version")
                await asyncio.to_thread(proxy.cut)
            line.injected()
            began_s = time.monotonic()
            await fleet.ask_for(EXPIRED_S)
            for proxy in _proxies(fleet):
                lists = {key: count for key, count in proxy.counts(began_s).items() if key.startswith("list ")}
                assert lists, "nobody listed"
                assert max(lists.values()) <= EXPIRED_S + 1, lists
                line.figures["lists_most"] = max(line.figures.get("lists_most", 0), *lists.values())
            line.detected()
            await fleet.pin(3)
            await fleet.settles(3)
            for proxy in _proxies(fleet):
                proxy.heal()
            await fleet.pin(2)
            line.figures["back_s"] = round(await fleet.settles(2), 1)
            line.healed()

    play(scene(), LIMIT_S)


async def _lists_for_gone(fleet: Fleet, kind: str) -> float:
    """How often the gateway has listed since its history was gone."""
    series = f'spillway_kubernetes_lists_total{{resource="{kind}",why="gone"}}'
    return (await fleet.world.gateway.metrics()).get(series, 0.0)


def test_d5_etcd_compacted(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The API itself says 410 to watches from before: one list of each kind, and what changed meanwhile is known."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, PAIR, "D5", "etcd compacted", takeovers=1) as (fleet, line):
            for proxy, kind in itertools.product(_proxies(fleet), KINDS):
                proxy.spoil(kind, WatchFaults(drops=lambda _: True, no_bookmarks=True))
            gone, stays = list(fleet.node.serving)
            await fleet.api.call("DELETE", fleet.path("pods", gone))
            await eventually(lambda: gone not in fleet.node.wards, within_s=PATIENCE_S)
            await eventually(lambda: len(fleet.node.serving) == 2, within_s=PATIENCE_S)
            line.injected()
            asking = asyncio.create_task(fleet.ask_for(PATIENCE_S))

            def heal() -> None:
                for proxy in _proxies(fleet):
                    proxy.heal()

            await asyncio.to_thread(forget_history, fleet_plane, heal)
            await asyncio.to_thread(manager_begins_anew, fleet_plane)
            began_s = time.monotonic()

            async def is_known() -> bool:
                used = any(one.calls for one in fleet.world.engines if one.name not in (gone, stays))
                return used and min([await _lists_for_gone(fleet, kind) for kind in ("pods", "modelpools")]) >= 1

            line.within("noticed_s", await eventually(is_known, within_s=PATIENCE_S, every_s=0.1), NOTICED_S)
            line.detected()
            asking.cancel()
            line.within("back_s", await fleet.settles(2), NOTICED_S)
            line.healed()
            for proxy in _proxies(fleet):
                lists = {key: count for key, count in proxy.counts(began_s).items() if key.startswith("list ")}
                # One, and one more of a controller that lost its lease meanwhile; none where that was before.
                assert max(lists.values(), default=0) <= 2, lists
            fleet.all_answered()

    play(scene(), LIMIT_S)


def test_d5_events_repeated_reordered_without_bookmarks(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The fleet goes 2, 4, 2 as if nothing were the matter: as many pods, each once, and the same state in the end."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, PAIR, "D5", "events twice and in the wrong order") as (fleet, line):
            await fleet.pin(4)
            await fleet.settles(4)
            await fleet.pin(2)
            await fleet.settles(2)
            without_fault, made = await fleet.end_state(), len(fleet.node.made)
            for proxy in _proxies(fleet):
                for kind in KINDS:
                    proxy.spoil(kind, WatchFaults(repeats=True, swaps=True, no_bookmarks=True, delay_s=0.1))
            line.injected()
            began_s = time.monotonic()
            await fleet.pin(4)
            await fleet.settles(4)
            await fleet.pin(2)
            await fleet.settles(2)
            line.detected()
            deleted = [one for one in fleet.controller.proxy.writes(began_s) if one.asked.verb == "delete"]
            assert len(fleet.node.made) <= made + 2 + len(deleted)  # each may be replaced until the number is smaller
            assert not (odd := await fleet.differs(without_fault)), odd
            assert {one.end for one in await fleet.world.ask_many(8, stream=True)} == {ANSWERED}
            line.healed()

    play(scene(), LIMIT_S)


async def _thaws_within_a_tick(fleet: Fleet) -> None:
    """The watches go on while the controller waits for a replica's figures: after it has looked, before it acts."""
    engine, over = fleet.world.engines[0], asyncio.Event()
    assert isinstance(engine, Stub)

    def page() -> tuple[int, bytes]:
        del engine.pages["/metrics"]
        fleet.controller.proxy.thaw()
        time.sleep(MEANWHILE_S)  # the proxy has a thread of its own
        over.set()
        return engine.page("/metrics")

    engine.pages["/metrics"] = page
    await asyncio.wait_for(over.wait(), PATIENCE_S)


def test_d7_stale_list_after_restart(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """A controller that starts with lists of yesterday deletes no newer pod and scales nothing a second time."""

    async def scene() -> None:
        async with fleet_row(
            fleet_plane, tmp_path, Shape(replicas=1, controllers=1), "D7", "old lists after a restart", takeovers=1
        ) as (fleet, line):
            paths = [fleet.path(kind) for kind in KINDS]
            for path in paths:
                await asyncio.to_thread(fleet.controller.proxy.keep_list, path)
            await fleet.pin(3)
            await fleet.settles(3)
            pods = set(fleet.node.wards)
            fleet.controller.is_kept = False
            fleet.controller.kill()
            await fleet.free_lease()
            fleet.controller.proxy.freeze(*KINDS)
            for path in paths:
                fleet.controller.proxy.serve_kept_list(path)
            line.injected()
            began_s = time.monotonic()
            fleet.controller.start()
            fleet.controller.is_kept = True
            await eventually(lambda: fleet.controller.proxy.counts(began_s).get("watch pods"), within_s=PATIENCE_S)
            await fleet.ask_for(15.0)
            line.detected()
            assert fleet.history.counts(POOL, began_s) == []
            assert set(fleet.node.wards) == pods
            assert len(fleet.node.made) == 3
            await _thaws_within_a_tick(fleet)
            await fleet.settles(3)
            line.healed()
            assert set(fleet.node.wards) == pods

    play(scene(), LIMIT_S)
