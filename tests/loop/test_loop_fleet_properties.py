"""What holds through any history of a fleet: two pools on one node, whatever demand, gateway, nodes, operators do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from loop_values import READY, pin
from shared_world import SharedWorld, on_node

from controller.autoscale.limits import HOUR_S, ONE_ACTION_S
from controller.core.fleet import FleetView

PER_HOUR = 2
LEAST, MOST = 0, 2
NAMES = ("a", "b")


@dataclass(frozen=True)
class Phase:
    """So long of this."""

    seconds: int
    loads: tuple[float, float]
    gateway_up: bool
    nodes: bool
    restart: bool
    pinned: int | None


LOADS = st.integers(0, 250).map(lambda hundredths: hundredths / 100)  # no gateway counts 5e-324 of a request
PHASES = st.builds(
    Phase,
    seconds=st.integers(1, 90),
    loads=st.tuples(LOADS, LOADS),
    gateway_up=st.sampled_from([True, True, True, False]),
    nodes=st.sampled_from([True, True, True, False]),
    restart=st.sampled_from([False, False, False, True]),
    pinned=st.sampled_from([None, None, None, 0, 1, 2]),
)


class Watched:
    """A fleet, and what must hold in it every second."""

    def __init__(self) -> None:
        limited = [on_node(name, LEAST) for name in NAMES]
        self.pools = [replace(one, scale=replace(one.scale, max_actions_per_hour=PER_HOUR)) for one in limited]
        self.world = SharedWorld(*self.pools)
        self.cooldown_s = self.pools[0].scale.scale_down_cooldown_s
        self.began_s = self.world.clock.now_s  # of this controller
        self.was_pinned = False  # under this controller: what a pin brought may go when it ends
        self.desired: dict[str, int] = {}
        self.actions: dict[str, list[tuple[float, bool]]] = {name: [] for name in NAMES}

    def live(self, phase: Phase) -> None:
        """One phase, second by second."""
        world = self.world
        world.gateway_up, world.platform.cold_start_s = phase.gateway_up, 5.0 if phase.nodes else 1e9
        world.spec.said_pins = {} if phase.pinned is None else {"a": pin(replicas=phase.pinned, until_s=1e12)}
        if phase.restart:
            world.new_loop()
            self.began_s, self.desired, self.was_pinned = world.clock.now_s, {}, False
        self.was_pinned = self.was_pinned or phase.pinned is not None
        for _ in range(phase.seconds):
            before = {name for name, one in world.platform.replicas.items() if one.state is READY}
            drained = len(world.platform.done("drain"))
            world.play(1, a=phase.loads[0], b=phase.loads[1])  # which counts the GPUs that are held
            gone = before & set(world.platform.done("drain")[drained:])
            view = world.sink.last()
            assert view is not None
            self.check(phase, view, gone)

    def check(self, phase: Phase, view: FleetView, gone: set[str]) -> None:
        """After one tick."""
        now_s = self.world.clock.now_s
        pinned = {"a"} if phase.pinned is not None else set()
        settling = now_s - self.began_s < self.cooldown_s and not self.was_pinned
        if (settling or not phase.gateway_up) and not pinned:
            assert not gone, "nobody who serves is taken away while blind, or by a controller in its first cooldown"
        for name in NAMES:
            wanted = view.pools[name].desired_replicas
            assert wanted is not None
            assert LEAST <= wanted <= MOST
            before = self.desired.get(name, wanted)
            if wanted != before and name not in pinned:
                self.acted(name, now_s, grows=wanted > before)
            self.desired[name] = wanted

    def acted(self, name: str, now_s: float, *, grows: bool) -> None:
        """A change of size; steps in one direction within a minute are one."""
        taken = self.actions[name]
        if not taken or taken[-1][1] is not grows or now_s - taken[-1][0] >= ONE_ACTION_S:
            taken.append((now_s, grows))
        assert sum(now_s - at_s < HOUR_S for at_s, _ in taken) <= PER_HOUR


@settings(max_examples=6, deadline=None)
@given(st.lists(PHASES, min_size=3, max_size=8))
def test_whatever_a_fleet_lives_through(phases: list[Phase]) -> None:
    """Bounds, GPUs; changes per hour, over restarts too; blind holds; a restart takes nobody who serves away."""
    watched = Watched()
    for phase in phases:
        watched.live(phase)
