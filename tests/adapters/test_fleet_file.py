"""The published view survives the trip through its file, and a bad file never empties a gateway."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from controller.adapters.fleet_file import FleetFile
from controller.core.fleet import FleetView, Pin, PoolView, Replica, ReplicaState, RoutingMode, ScaleTerms

VIEW = FleetView(
    revision=7,
    published_at_s=12.5,
    pools={
        "llama-8b": PoolView(
            name="llama-8b",
            replicas=(
                Replica(
                    replica_id="llama-8b-1",
                    pool="llama-8b",
                    url="http://127.0.0.1:9",
                    state=ReplicaState.DRAINING,
                    started_at_s=1.0,
                    waiting=3,
                    simulated=True,
                ),
            ),
            mode=RoutingMode.SPILLING,
            spill_ratio=0.25,
            terms=ScaleTerms(
                demand_replicas=1.5,
                replica_usd_per_s=0.001,
                spill_usd_per_replica_s=0.002,
                start_usd=0.3,
                patience_up=1.0,
                patience_down=1.0,
                off_lost_usd=0.1,
                on_lost_usd=0.0,
                least_replicas=0,
                experts=((1.0, 1.0, 0.0, 2.5), (0.3, 0.5, 1.0, 2.0)),
                patience_ahead=1.0,
                ahead_replicas=-0.25,
            ),
            pin=Pin(routing=RoutingMode.LOCAL, replicas=2, who="me", reason="test", until_s=99.0),
            cold_starts_s=(81.5, 90.0),
        ),
        "bare": PoolView(name="bare", pin=Pin(routing=None, replicas=1, who="me", reason="", until_s=1.0)),
    },
)


def test_a_published_view_is_read_back_equal(tmp_path: Path) -> None:
    """What the controller published is what a later controller and a gateway read."""
    FleetFile(tmp_path).publish(VIEW)
    again = FleetFile(tmp_path)
    assert again.last() == VIEW
    assert again.view() == VIEW


def test_nothing_published_is_none_and_an_empty_view(tmp_path: Path) -> None:
    """Before the first publication there is no last view, and a gateway sees no pools."""
    file = FleetFile(tmp_path)
    assert file.last() is None
    assert file.view() == FleetView()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"revision": 1}', b'{"revision":1,"published_at_s":0,"pools":[]}']
)
def test_an_unreadable_file_keeps_the_view_there_was(tmp_path: Path, content: bytes) -> None:
    """A gateway goes on with what it knew when the file is garbage."""
    file = FleetFile(tmp_path)
    file.publish(VIEW)
    assert file.refresh()
    file.path.write_bytes(content)
    assert not file.refresh()
    assert file.view() == VIEW
    assert file.last() is None


def test_a_view_of_a_newer_controller_is_read_without_what_is_new_in_it(tmp_path: Path) -> None:
    """During an upgrade gateways of the older version go on, with all that they know."""
    file = FleetFile(tmp_path)
    file.publish(VIEW)
    raw = orjson.loads(file.path.read_bytes())
    pools = list(raw["pools"].values())
    news: list[dict[str, object]] = [
        raw,
        *pools,
        *pools[0]["replicas"],
        pools[0]["terms"],
        *(one["pin"] for one in pools),
    ]
    for one in news:
        one["of_a_later_version"] = {"any": ["thing", 1, None]}
    file.path.write_bytes(orjson.dumps(raw))
    assert FleetFile(tmp_path).view() == VIEW


def test_a_view_without_what_came_later_is_read(tmp_path: Path) -> None:
    """A newer gateway under an older controller: what it does not say is as if it said nothing."""
    file = FleetFile(tmp_path)
    file.publish(VIEW)
    raw = orjson.loads(file.path.read_bytes())
    for pool in raw["pools"].values():
        for name in ("terms", "cold_starts_s", "missing_replicas"):
            del pool[name]
    file.path.write_bytes(orjson.dumps(raw))
    pools = {name: replace(pool, terms=None, cold_starts_s=()) for name, pool in VIEW.pools.items()}
    assert FleetFile(tmp_path).view() == replace(VIEW, pools=pools)


def test_watch_follows_each_publication(tmp_path: Path) -> None:
    """A watching gateway sees a new view within a few intervals."""

    async def scenario() -> None:
        reader, writer = FleetFile(tmp_path), FleetFile(tmp_path)
        watching = asyncio.create_task(reader.watch(0.01))
        for revision in (1, 2):
            writer.publish(FleetView(revision=revision))
            async with asyncio.timeout(2):
                while reader.view().revision != revision:
                    await asyncio.sleep(0.005)
        watching.cancel()

    asyncio.run(scenario())
