"""One very pod goes, and its Deployment shrinks for it once, whatever the ReplicaSet does meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.kubernetes_removal import (
    Member,
    Step,
    goes_before,
    member_of,
    next_step,
    placeholders,
    shrunk_for,
    uncounted,
)

LOWEST = -(2**31) + 1


def member(name: str, **facts: object) -> Member:
    return replace(Member(name=name, uid=name), **facts)  # type: ignore[arg-type]


def marked(name: str, **facts: object) -> Member:
    return member(name, marked=True, cost=LOWEST, **facts)


NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("members", "replicas", "gone", "step"),
    [
        pytest.param([marked("p"), member("a")], 2, NONE, Step.SHRINK, id="all-others-ready"),
        pytest.param([marked("p"), member("a", ready=False)], 2, NONE, Step.DELETE_THEN_SHRINK, id="another-starts"),
        pytest.param(
            [marked("p"), member("a", has_node=False, ready=False)], 2, NONE, Step.DELETE_THEN_SHRINK, id="no-node"
        ),
        pytest.param([marked("p", ready=False), member("a")], 2, NONE, Step.SHRINK, id="it-starts-itself"),
        pytest.param([marked("p"), member("a")], 1, {"p"}, Step.NOTHING, id="shrunk-already"),
        pytest.param([marked("p"), member("a")], 2, {"p"}, Step.DELETE, id="shrunk-and-grown-again"),
        pytest.param([marked("p"), member("a", ready=False)], 1, {"p"}, Step.DELETE, id="another-would-go-instead"),
        pytest.param([marked("p", active=False), member("a")], 2, NONE, Step.NOTHING, id="on-its-way-out"),
        pytest.param([marked("p")], 2, NONE, Step.DELETE_THEN_SHRINK, id="another-has-no-pod-yet"),
        pytest.param([marked("p")], 0, NONE, Step.NOTHING, id="all-are-on-their-way"),
        pytest.param([member("a")], 1, NONE, Step.NOTHING, id="not-there"),
        pytest.param(
            [marked("p"), marked("q"), member("a")], 2, {"q"}, Step.DELETE_THEN_SHRINK, id="before-one-that-waits"
        ),
        pytest.param([marked("p"), marked("o"), member("a")], 2, {"o"}, Step.SHRINK, id="behind-one-that-waits"),
    ],
)
def test_what_makes_a_pod_go(members: list[Member], replicas: int, gone: frozenset[str], step: Step) -> None:
    """The cheapest way that takes that very pod, and none with more work in it."""
    assert next_step("p", members, replicas, frozenset(gone)) is step


def test_the_order_is_that_of_replica_sets() -> None:
    """Without a node, pending, not ready, cheap, young: the first of these goes first."""
    ranked = [
        member("no-node", has_node=False, running=False, ready=False),
        member("pending", running=False, ready=False),
        member("not-ready", ready=False),
        member("cheap", cost=-5),
        member("young", made_s=9.0),
        member("old", made_s=1.0),
    ]
    mixed = [ranked[at] for at in (3, 0, 5, 2, 4, 1)]
    assert sorted(mixed, key=goes_before) == ranked


def test_members_are_read_from_pods() -> None:
    """Cost, node, phase and readiness as the API has them; a cost that is no number counts as none."""
    pod = {
        "metadata": {
            "name": "a",
            "uid": "u",
            "creationTimestamp": "2026-11-26T10:00:00Z",
            "annotations": {"controller.kubernetes.io/pod-deletion-cost": "-7", "spillway.dev/draining": "x"},
        },
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    found = member_of(pod)
    assert found == Member(name="a", uid="u", marked=True, cost=-7, made_s=1795687200.0)
    pod["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "cheap"}  # type: ignore[index]
    assert member_of(pod).cost == 0


def test_a_successor_tells_by_the_surplus_who_was_shrunk_for() -> None:
    """Nobody remembers, and there is one pod more than there shall be: the marked one that would go."""
    members = [marked("p"), marked("q", made_s=-1.0), member("a")]
    assert shrunk_for(members, 2, NONE) == {"p"}
    assert shrunk_for(members, 3, NONE) == NONE
    assert shrunk_for(members, 2, frozenset("q")) == {"q"}
    rollout = [*members, member("b", template="new")]
    assert shrunk_for(rollout, 3, NONE) == NONE


def test_pods_of_a_rollout_are_not_counted() -> None:
    """Beyond what is asked for, those that start are nobody's to scale away, the newest first."""
    members = [member("old"), member("new", ready=False, made_s=5.0), marked("p")]
    assert uncounted(members, 2, frozenset("p")) == NONE
    assert uncounted(members, 2, NONE) == {"new"}


@dataclass
class World:
    """A Deployment, its ReplicaSet, and a controller that asks for more and takes pods out."""

    replicas: int
    pods: dict[str, Member] = field(default_factory=dict)
    known: frozenset[str] = NONE
    made: int = 0
    shrinks: list[str] = field(default_factory=list)

    def members(self) -> list[Member]:
        return list(self.pods.values())

    def gone(self) -> frozenset[str]:
        self.known = shrunk_for(self.members(), self.replicas, self.known)
        return self.known

    def settle(self) -> None:
        active = sorted(self.members(), key=goes_before)
        for one in active[: max(0, len(active) - self.replicas)]:
            del self.pods[one.name]
        while len(self.pods) < self.replicas:
            self.made += 1
            name = f"p{self.made}"
            self.pods[name] = member(name, ready=False, has_node=False, running=False, made_s=float(self.made))

    def remove(self, name: str) -> bool:
        """Whether the Deployment was shrunk for it now."""
        gone = self.gone()
        step = next_step(name, self.members(), self.replicas, gone)
        if step in {Step.DELETE, Step.DELETE_THEN_SHRINK}:
            del self.pods[name]
        if step in {Step.SHRINK, Step.DELETE_THEN_SHRINK}:
            self.replicas -= 1
            self.shrinks.append(name)
            self.known = self.known | {name}
            return True
        return False


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["settle", "ready", "start", "mark", "remove", "forget after settling"]), st.integers(0, 5)
    ),
    max_size=40,
)


@given(actions=ACTIONS, first=st.integers(0, 4))
def test_each_pod_shrinks_its_deployment_at_most_once(actions: list[tuple[str, int]], first: int) -> None:
    """After any order of steps: as many as were asked for, less one for each pod taken out; and those are gone."""
    world = World(replicas=first)
    world.settle()
    asked, out = first, set[str]()
    for action, pick in actions:
        names = sorted(world.pods)
        name = names[pick % len(names)] if names else ""
        if action == "settle":
            world.settle()
        elif action == "start":
            for one in world.gone():
                del world.pods[one]
            world.replicas, asked = world.replicas + 1, asked + 1
        elif action == "ready" and name:
            world.pods[name] = replace(world.pods[name], ready=True, has_node=True, running=True)
        elif action == "mark" and name:
            world.pods[name] = replace(world.pods[name], marked=True, cost=LOWEST)
        elif action == "remove" and name and world.pods[name].marked:
            world.remove(name)
            out.add(name)
        elif action == "forget after settling":
            world.settle()
            world.known = world.gone()  # none, but for one that was outranked just now
        shall = world.replicas
        assert placeholders(world.members(), shall, world.gone()) >= 0
    for _ in range(4):
        world.settle()
        for name in sorted(out & world.pods.keys()):
            world.remove(name)
    world.settle()
    assert len(world.shrinks) == len(set(world.shrinks))
    assert not out & world.pods.keys()
    assert world.replicas == asked - len(world.shrinks)
    assert len(world.pods) == world.replicas
