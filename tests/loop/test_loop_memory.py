"""What a controller leaves its successor: kept through any restart, refused whole when it is not to be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import make_dataclass, replace
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from loop_values import DRAINING, POOL, READY, START_S, pin, pool
from loop_world import World
from shared_world import SharedWorld, on_node
from structlog.testing import capture_logs

from controller.autoscale.experts import PATIENCES
from controller.autoscale.limits import Actions
from controller.core.fleet import PoolView, ScaleTerms
from controller.loop.memory import AHEAD_S, LONGEST_S, Memory, MemoryRefused, decoded, encoded, resumed, version

COOLDOWN_S = int(POOL.scale.scale_down_cooldown_s)
NAME = POOL.name
CHANGES = 3


class Killed(BaseException):
    """The process is gone at this very call."""


@pytest.fixture
def world() -> World:
    """A pool that buys and rents, with a hundred seconds of changing traffic behind it."""
    made = World(pool(max_replicas=4, cold_start_s=5.0))
    made.open_market()
    made.run(40, llama_8b=0.8)
    made.run(60, llama_8b=2.2)
    return made


def kept(world: World) -> Memory:
    """What the controller of this world has kept."""
    assert world.memory.data is not None
    return decoded(world.memory.data, world.clock.now_s)


def terms(view: PoolView) -> ScaleTerms:
    """The figures behind its decision."""
    assert view.terms is not None
    return view.terms


def spent(view: PoolView) -> list[float]:
    """What each patience would have spent."""
    return [one[-1] for one in terms(view).experts]


def test_a_version_tells_the_fields() -> None:
    """One more field, however deep, is another version: nobody has to think of it."""
    inner = [("on", int), ("lost_usd", tuple[float, ...])]
    versions = [
        version(make_dataclass("Memory", [("pools", Mapping[str, make_dataclass("Pool", fields)])]))
        for fields in (inner, inner, [*inner, ("since_s", float, 0.0)], inner[:1])
    ]
    assert versions[0] == versions[1]
    assert len({*versions, version()}) == 4


def test_what_was_kept_is_read_back_equal(world: World) -> None:
    """Every figure, to the last bit."""
    memory = kept(world)
    market = memory.pools[NAME].scale.market
    assert market is not None
    assert market.trend.means
    assert len(market.experts.experts) == len(PATIENCES)
    assert memory.pools[NAME].asked is not None
    assert memory.pools[NAME].actions.taken
    assert decoded(encoded(memory), world.clock.now_s) == memory


def test_a_successor_goes_on_with_what_demand_has_taught(world: World) -> None:
    """Prices, spending of each patience, trend: in its first second as if nothing had happened."""
    before = world.run(1)[-1]
    world.stop()
    world.new_loop()
    after = world.run(1)[-1]
    assert spent(after) == pytest.approx(spent(before), rel=0.02)
    assert min(spent(after)) > 0.0
    assert terms(after).patience_up == terms(before).patience_up
    assert after.desired_replicas == before.desired_replicas


def test_a_fresh_controller_knows_none_of_it(world: World) -> None:
    """So the test above does not pass by chance: it has spent nothing, and knows no prices until a request has come."""
    world.memory.data = None
    world.new_loop()
    assert world.run(1)[-1].terms is None
    assert max(spent(world.run(2)[-1])) < 0.01


def test_the_first_cooldown_begins_anew(world: World) -> None:
    """Ledgers go on, and all the same nothing is taken away by a controller that has just begun."""
    before = world.run(3, llama_8b=0.0)[-1]
    assert before.desired_replicas == before.count(READY) == 2
    world.clock.now_s += 2 * COOLDOWN_S
    world.new_loop()
    assert {view.desired_replicas for view in world.run(COOLDOWN_S)} == {2}
    assert world.run(3 * COOLDOWN_S)[-1].desired_replicas == 1


def test_changes_of_the_last_hour_count_over_restarts() -> None:
    """However often the controller is started, no more than so many are made."""
    world = World(pool(max_replicas=9, max_actions_per_hour=CHANGES, cold_start_s=1.0))
    for load in (1.5, 2.5, 3.5, 4.5, 5.5, 6.5):
        world.run(70, llama_8b=load)
        world.new_loop()
    view = world.run(5)[-1]
    assert f"{CHANGES} changes in an hour" in view.decision_reason
    assert len(kept(world).pools[NAME].actions.taken) == CHANGES


@pytest.mark.parametrize("call", ["start", "drain"])
def test_one_who_is_killed_while_acting_has_written_it_down(call: str) -> None:
    """`kill -9` in the middle of the first action: the successor counts it."""
    world = World(pool(max_replicas=9, cold_start_s=1.0))
    world.run(COOLDOWN_S, llama_8b=0.5 if call == "start" else 1.5)
    already = len(kept(world).pools[NAME].actions.taken)
    world.platform.broken = {(call, name): Killed() for name in (NAME, *world.platform.replicas)}
    with pytest.raises(Killed):
        world.run(3 * COOLDOWN_S, llama_8b=3.0 if call == "start" else 0.1)
    assert len(kept(world).pools[NAME].actions.taken) == already + 1
    world.platform.broken, alive = {}, set(world.platform.replicas)
    world.new_loop()
    world.gateway_up = False
    world.run(5)
    assert alive <= set(world.platform.replicas)
    assert not any(one.state is DRAINING for one in world.platform.replicas.values())


@examples(max_examples=8, deadline=None)
@given(
    loads=st.lists(st.floats(0.0, 4.0), min_size=1, max_size=4),
    away_s=st.integers(0, 2 * int(LONGEST_S)),
    after=st.floats(0.0, 4.0),
    blind=st.booleans(),
    bought=st.booleans(),
)
def test_a_restart_never_shrinks(loads: list[float], away_s: int, after: float, blind: bool, bought: bool) -> None:
    """Whatever was kept and however long the controller was away, it takes nothing that serves for a cooldown."""
    world = World(pool(max_replicas=5, cold_start_s=3.0))
    if bought:
        world.open_market()
    for load in loads:
        world.run(40, llama_8b=load)
    alive = sum(1 for one in world.platform.replicas.values() if one.state is not DRAINING)
    drained = len(world.platform.done("drain"))
    world.clock.now_s += away_s
    world.new_loop()
    world.gateway_up = not blind
    assert all((view.desired_replicas or 0) >= alive for view in world.run(COOLDOWN_S - 1, llama_8b=after))
    assert len(world.platform.done("drain")) == drained


def test_shared_nodes_keep_their_split_and_its_regret() -> None:
    """How much each level was used, and what the best split would have saved, go on where they were."""
    world = SharedWorld(on_node("a"), on_node("b"))
    world.play(61, a=1.4, b=0.5)
    world.play(8, a=1.9, b=0.2)
    world.stop()
    memory = kept(world).nodes["p4d"]
    assert memory.regret_usd > 0.0
    world.new_loop()
    world.stop()
    assert kept(world).nodes["p4d"] == replace(memory, since_s=None)


def flipped(data: bytes) -> bytes:
    """One bit of its last digit is another one."""
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


def resealed(data: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """Another body under a checksum that fits."""
    body = edit(data.partition(b"\n")[2])
    return f"spillway-memory {version()} {crc32(body):08x}\n".encode() + body


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(lambda data: b"", "does not begin", id="empty"),
        pytest.param(lambda data: b"\0" * len(data), "does not begin", id="zeros"),
        pytest.param(lambda data: data.partition(b"\n")[2], "does not begin", id="no first line"),
        pytest.param(lambda data: b"spillway-memory 0\n{}", "does not begin", id="no version"),
        pytest.param(lambda data: data[: len(data) // 2], "damaged", id="half"),
        pytest.param(flipped, "damaged", id="one bit"),
        pytest.param(lambda data: data.replace(b"memory 1.", b"memory 7.", 1), "version '7.", id="another version"),
        pytest.param(lambda data: resealed(data, lambda body: b"{"), "not what a controller keeps", id="no JSON"),
        pytest.param(
            lambda data: resealed(data, lambda body: body.replace(b'"on":', b'"on":null,"x":')), "on: ", id="no figure"
        ),
        pytest.param(
            lambda data: resealed(data, lambda body: body.replace(b'"up":0.3', b'"up":0.7')), "patiences", id="experts"
        ),
    ],
)  # fmt: skip
def test_what_is_not_to_be_trusted_is_refused_in_one_line(
    world: World, damage: Callable[[bytes], bytes], words: str
) -> None:
    """And the controller starts as if nothing had been kept."""
    assert world.memory.data is not None
    world.memory.data = damage(world.memory.data)
    with pytest.raises(MemoryRefused, match=words):
        decoded(world.memory.data, world.clock.now_s)
    with capture_logs() as logs:
        world.new_loop()
    assert [(line["event"], words in line["reason"]) for line in logs] == [("controller_memory_refused", True)]
    assert world.run(3)[-1].desired_replicas is not None
    assert kept(world).at_s >= world.clock.now_s - 3.0


@pytest.mark.parametrize(
    ("later_s", "used"),
    [
        pytest.param(0.0, True, id="now"),
        pytest.param(LONGEST_S, True, id="an hour ago"),
        pytest.param(LONGEST_S + 1.0, False, id="long ago"),
        pytest.param(-AHEAD_S, True, id="a clock set back a little"),
        pytest.param(-AHEAD_S - 1.0, False, id="from another time"),
    ],
)
def test_only_what_is_of_lately_is_used(later_s: float, used: bool) -> None:
    """An hour back; ahead no more than a clock may be set."""
    data = encoded(Memory(at_s=START_S))
    if used:
        assert decoded(data, START_S + later_s).at_s == START_S
    else:
        with pytest.raises(MemoryRefused, match=f"{later_s:.0f} s ago, allowed are -60 to 3600"):
            decoded(data, START_S + later_s)


def test_a_trend_of_before_a_long_pause_is_no_trend(world: World) -> None:
    """Half a minute is a pause; after five the slope of before says nothing."""
    memory, view = kept(world).pools[NAME], world.run(1)[-1]
    for gap_s, known in ((20.0, True), (300.0, False)):
        market = resumed(view, memory, gap_s, START_S).scale.market
        assert market is not None
        assert bool(market.trend.means) is known


def test_a_pool_that_was_never_seen_begins_without_a_count(world: World) -> None:
    """Its view is lost: what is there is what was wished."""
    state = resumed(None, kept(world).pools[NAME], 1.0, START_S)
    assert (state.scale.replicas, state.actions.replicas) == (None, None)
    assert state.actions.taken
    assert resumed(None, None, 1.0, START_S).actions == Actions()


def test_it_is_written_every_ten_seconds_in_calm() -> None:
    """Not every second: two hundred pools are some hundred kilobytes."""
    world = World(POOL)
    world.run(30, llama_8b=0.5)
    times = world.memory.times
    world.run(100)
    assert world.memory.times == times + 10


def test_its_size_is_bounded() -> None:
    """A day of changes and pins leaves no more than an hour of them."""
    world = World(pool(max_replicas=4, cold_start_s=1.0))
    world.open_market()
    sizes = []
    for turn in range(40):
        world.spec.said_pins = {NAME: pin(replicas=1 + turn % 4, until_s=world.clock.now_s + 20.0)}
        world.run(10, llama_8b=float(turn % 5))
        world.clock.now_s += 300.0
        assert world.memory.data is not None
        sizes.append(len(world.memory.data))
    assert max(sizes[20:]) <= 1.2 * max(sizes[:20])
