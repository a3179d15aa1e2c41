"""Cold starts as the control loop learns them, tells them and keeps them over a restart."""

from __future__ import annotations

from loop_values import POOL, WARMING, pin, pool, replica
from loop_world import World


def grown(world: World, replicas: int) -> None:
    """So many replicas have come up, one after the other."""
    for count in range(2, replicas + 1):
        world.spec.said_pins = {"llama-8b": pin(replicas=count, until_s=world.clock.now_s + 1e6)}
        world.run(30)


def test_warming_replicas_are_due_when_those_before_them_were_ready() -> None:
    """The first ones by what the platform expects, later ones by what was seen; the view tells the starts."""
    world = World(pool(max_replicas=9), cold_start_s=20.0)
    views = world.run(30, llama_8b=0.3)
    assert views[-1].cold_starts_s == (20.0,)
    grown(world, 3)
    world.platform.add(replica("slow", WARMING, started_at_s=world.clock.now_s, ready_at_s=world.clock.now_s + 500.0))
    world.spec.said_pins = {"llama-8b": pin(replicas=4, until_s=world.clock.now_s + 1e6)}
    view = world.run(1)[-1]
    assert view.cold_starts_s == (20.0, 20.0, 20.0)
    slow = next(one for one in view.replicas if one.replica_id == "slow")
    assert slow.ready_at_s == slow.started_at_s + 20.0


def test_a_restart_keeps_what_was_learned() -> None:
    """From the published view; nothing is counted twice."""
    world = World(POOL, cold_start_s=20.0)
    world.run(30, llama_8b=0.3)
    grown(world, 2)
    before = world.run(1)[-1]
    world.new_loop()
    assert world.run(5)[-1].cold_starts_s == before.cold_starts_s == (20.0, 20.0)


def test_fixed_endpoints_teach_nothing() -> None:
    """They were started by somebody else, nobody knows when."""
    world = World(pool(endpoints=("http://a",)))
    world.platform.add(replica("a"))
    assert world.run(3)[-1].cold_starts_s == ()
