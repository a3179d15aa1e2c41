"""Conditions as stories: what is said of a pool that serves, spills, starts, is refused, held up, pinned or alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pool_values import NOW_S, error, facts, held, message, pin_word, pool, status_of, view

from controller.catalogue.refusals import ENVIRONMENT
from controller.core.fleet import RoutingMode
from controller.core.pools import SpillPolicy
from controller.modelpool.conditions import condition_of
from controller.modelpool.events import events_of
from controller.modelpool.facts import MESSAGE_CHARS, Obstacle, Trouble
from controller.modelpool.findings import TYPES
from controller.modelpool.status import pool_status, saturation_percent

NOWHERE = replace(pool(), spill=SpillPolicy())
NOT_LIMITED = ("False", "DesiredWithinRange")
HELD_BACK = view(2, wanted_replicas=3, constraints=("waits for GPUs: 0 of 8 are free",))
COOLING = view(3, wanted_replicas=2, constraints=("cooldown",))
NO_NODE = view(1, 1, why="no node: Insufficient nvidia.com/gpu")
NO_RIGHTS = Trouble(obstacle=Obstacle.FORBIDDEN, message="no")
ENDED = pin_word(NOW_S, routing=RoutingMode.EXTERNAL)
EXTERNAL = {"mode": RoutingMode.EXTERNAL, "spill_ratio": 1.0, "mode_reason": "no_ready_replica"}
NO_KEY = error("OPENAI_API_KEY", "is not set", "warning", file=ENVIRONMENT.file)


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (status_of(view()), "Ready", ("True", "Serving")),
        (status_of(view(0, desired_replicas=0), pool=pool(min_replicas=0)), "Ready", ("True", "ScaledToZero")),
        (status_of(view(1, mode=RoutingMode.SPILLING, spill_ratio=0.3)), "Ready", ("True", "Serving")),
        (status_of(view(), pin=pin_word()), "Ready", ("True", "Serving")),
        (status_of(view(0, 1, **EXTERNAL)), "Ready", ("False", "Starting")),
        (status_of(view(0, desired_replicas=1)), "Ready", ("False", "NoReadyReplica")),
        (status_of(view(0, desired_replicas=None)), "Ready", ("False", "NoReadyReplica")),
        (status_of(), "Ready", ("Unknown", "Pending")),
        (status_of(view(), problems=(error(),)), "Ready", ("False", "InvalidSpec")),
        (status_of(view(), problems=(error(severity="warning"),)), "Ready", ("True", "Serving")),
        (status_of(view()), "Reconciling", ("False", "AsDecided")),
        (status_of(view(1, 1)), "Reconciling", ("True", "Starting")),
        (status_of(view(2, draining=1)), "Reconciling", ("True", "Draining")),
        (status_of(view(2, desired_replicas=1)), "Reconciling", ("True", "Shrinking")),
        (status_of(view(1, desired_replicas=3)), "Reconciling", ("True", "Growing")),
        (status_of(view(1, desired_replicas=3, missing_replicas=2)), "Reconciling", ("False", "AsDecided")),
        (status_of(view(1, desired_replicas=None)), "Reconciling", ("False", "AsDecided")),
        (status_of(), "Reconciling", ("Unknown", "Pending")),
        (status_of(view(), problems=(error(),)), "Reconciling", ("False", "InvalidSpec")),
        (status_of(view()), "Stalled", ("False", "Unobstructed")),
        (status_of(view(), problems=(error(),)), "Stalled", ("True", "InvalidSpec")),
        (status_of(view()), "Spilling", ("False", "Fits")),
        (status_of(view(), pool=NOWHERE), "Spilling", ("False", "NoTargets")),
        (status_of(view(), problems=(NO_KEY,)), "Spilling", ("False", "TargetUnusable")),
        (status_of(view(mode=RoutingMode.SPILLING, spill_ratio=0.2)), "Spilling", ("True", "Saturated")),
        (status_of(view(0, 1, **EXTERNAL)), "Spilling", ("True", "NoReadyReplica")),
        (status_of(view(**EXTERNAL), pin=pin_word(routing=RoutingMode.EXTERNAL)), "Spilling", ("True", "Pinned")),
        (
            status_of(view(**EXTERNAL), pin=ENDED),
            "Spilling",
            ("True", "Saturated"),
        ),
        (status_of(view(**EXTERNAL), pin=pin_word()), "Spilling", ("True", "Saturated")),
        (status_of(), "Spilling", ("Unknown", "Pending")),
        (status_of(view(), pool=None), "Spilling", ("Unknown", "Pending")),
        (status_of(problems=(error(),)), "Spilling", ("Unknown", "InvalidSpec")),
        (status_of(problems=(error(),)), "CapacityUnavailable", ("Unknown", "InvalidSpec")),
        (status_of(view(), problems=(error(),), is_kept=True), "Spilling", ("False", "Fits")),
        (status_of(view(), problems=(error(),), is_kept=True), "Reconciling", ("False", "AsDecided")),
        (status_of(view(1, desired_replicas=2), troubles=(NO_RIGHTS,)), "Reconciling", ("False", "Stalled")),
        (status_of(view(missing_replicas=1), troubles=(NO_RIGHTS,)), "CapacityUnavailable", ("Unknown", "Stalled")),
        (status_of(view()), "ScalingLimited", NOT_LIMITED),
        (status_of(view(4, wanted_replicas=6)), "ScalingLimited", ("True", "TooManyReplicas")),
        (status_of(view(1, wanted_replicas=0)), "ScalingLimited", ("True", "TooFewReplicas")),
        (
            status_of(HELD_BACK),
            "ScalingLimited",
            ("True", "HeldBack"),
        ),
        (
            status_of(COOLING),
            "ScalingLimited",
            NOT_LIMITED,
        ),
        (status_of(view(desired_replicas=None)), "ScalingLimited", ("Unknown", "Pending")),
        (status_of(view(wanted_replicas=None)), "ScalingLimited", ("Unknown", "Pending")),
        (status_of(view()), "CapacityUnavailable", ("False", "Available")),
        (
            status_of(NO_NODE),
            "CapacityUnavailable",
            ("True", "Unschedulable"),
        ),
        (status_of(view(1, missing_replicas=2)), "CapacityUnavailable", ("True", "NotComing")),
        (status_of(), "CapacityUnavailable", ("Unknown", "Pending")),
        (status_of(view()), "Paused", ("False", "NotPinned")),
        (status_of(view(), pin=pin_word()), "Paused", ("True", "Pinned")),
        (status_of(view(), pin=pin_word(NOW_S)), "Paused", ("False", "PinExpired")),
    ],
)
def test_what_is_said(status: dict[str, object], kind: str, expected: tuple[str, str]) -> None:
    """Status and reason of one condition in one state of a pool."""
    assert held(status, kind) == expected


@pytest.mark.parametrize("obstacle", Obstacle)
def test_what_the_platform_cannot_do_stalls_the_pool(obstacle: Obstacle) -> None:
    """With the platform's words and what mends it; a pool whose Deployment is there is ready all the same."""
    status = status_of(view(), troubles=(Trouble(obstacle=obstacle, message="the API said no."),))
    assert held(status, "Stalled") == ("True", str(obstacle))
    assert message(status, "Stalled").startswith("the API said no. ")
    assert message(status, "Stalled").endswith(".")
    assert held(status, "Ready")[0] == ("False" if obstacle is Obstacle.TARGET_NOT_FOUND else "True")


def test_what_mends_it_is_said_once() -> None:
    """By the platform, where it knows which name is wrong."""
    words = "there is no Deployment 'a' in this namespace: make it, or mend `spec.scaleTargetRef.name`"
    missing = Trouble(obstacle=Obstacle.TARGET_NOT_FOUND, message=words)
    assert message(status_of(view(), troubles=(missing,)), "Stalled") == f"{words}."


def test_tries_in_vain_do_not_make_capacity_flap() -> None:
    """It is short until what is wanted has come: a try that has only begun, or has no address, is no end."""
    begun = replace(view(1, desired_replicas=2), missing_replicas=0)
    no_pod = view(1, 1, why="no pod yet")
    no_pod = replace(no_pod, replicas=tuple(replace(one, url="") for one in no_pod.replicas))
    status = status_of(view(1, desired_replicas=2, missing_replicas=1))
    for seen in (begun, no_pod, NO_NODE, begun):
        before, status = status, status_of(seen, status, NOW_S + 60)
        assert held(status, "CapacityUnavailable")[0] == "True"
        assert [one.reason for one in events_of(before, status) if one.action == "Start"] == []
    for seen in (view(1, 1, why="starting"), view(2), view(1), view(1, desired_replicas=None)):
        assert held(status_of(seen, status), "CapacityUnavailable") == ("False", "Available")


def test_the_worst_trouble_is_told_whatever_the_order() -> None:
    """A Deployment that is not there before anything else."""
    quota = Trouble(obstacle=Obstacle.QUOTA_EXCEEDED, message="quota")
    missing = Trouble(obstacle=Obstacle.TARGET_NOT_FOUND, message="no Deployment a")
    for troubles in ((quota, missing), (missing, quota)):
        assert held(status_of(view(), troubles=troubles), "Stalled")[1] == "TargetNotFound"


def test_a_refused_spec_is_told_in_sentences_with_the_words_to_mend_it() -> None:
    """All of them as far as there is room, then how many more."""
    status = status_of(problems=(error(), error("spec.engine", "does not fit"), error("spec.nodePool", value=None)))
    told = message(status, "Ready")
    assert told == message(status, "Stalled")
    assert told.startswith("`spec.model` no such model (got 'x'); allowed: y. `spec.engine` does not fit (got 'x')")
    assert told.endswith("`spec.nodePool` no such model; allowed: y.")
    many = message(status_of(problems=tuple(error(message="x" * 300) for _ in range(5))), "Ready")
    assert len(many) <= MESSAGE_CHARS
    assert many.endswith(" And 3 more.")


def test_messages_have_what_somebody_does_next() -> None:
    """Why nothing starts, what cannot be called, which command ends a pin, who is short of what."""
    starting = message(status_of(view(0, 1, why="ImagePullBackOff")), "Ready")
    assert starting == "No replica serves; 1 of 1 start (ImagePullBackOff)."
    unusable = message(status_of(view(), problems=(NO_KEY,)), "Spilling")
    assert unusable.endswith("`OPENAI_API_KEY` is not set (got 'x'); allowed: y.")
    pinned = message(status_of(view(), pin=pin_word(routing=RoutingMode.LOCAL)), "Paused")
    assert pinned.startswith("Pinned to routing Local and replicas 2 until 2026-11-26T11:00:00Z by oncall: launch day.")
    assert "kubectl patch spool llama-8b --type merge" in pinned
    routed = message(status_of(view(), pin=pin_word(routing=RoutingMode.EXTERNAL, replicas=None)), "Paused")
    assert routed.startswith("Pinned to routing External until")
    serving = message(status_of(view(), problems=(error("spec.engine", "no step times", "warning"),)), "Ready")
    assert serving == "Replicas that serve: 1. `spec.engine` no step times (got 'x'); allowed: y."
    leaving = message(status_of(view(mode=RoutingMode.SPILLING, spill_ratio=0.004, mode_reason="")), "Spilling")
    assert leaving == "1 percent of the requests leave: no reason given."
    assert message(status_of(view(**EXTERNAL)), "Spilling") == "All requests leave: no replica is ready."


def test_times_move_when_a_status_does() -> None:
    """Another reason or message is no transition; a clock that went back does not take the time back."""
    first = status_of(view(0, 1), now_s=NOW_S)
    second = status_of(view(0, desired_replicas=1), first, NOW_S + 10)
    third = status_of(view(1), second, NOW_S + 20)
    fourth = status_of(view(0, 1), third, NOW_S - 500)
    times = [condition_of(one, "Ready")["lastTransitionTime"] for one in (first, second, third, fourth)]
    assert times == ["2026-11-26T10:00:00Z", "2026-11-26T10:00:00Z", "2026-11-26T10:00:20Z", "2026-11-26T10:00:20Z"]


def test_without_a_view_what_was_published_stands() -> None:
    """A pool whose new spec is refused keeps routing and counts in its status; conditions are new."""
    before = status_of(view(2))
    after = pool_status(facts(generation=2, pool=None, problems=(error(),), selector=""), None, before, NOW_S + 5)
    for name in ("selector", "replicas", "routing", "saturationPercent", "coldStartSeconds", "lastDecision"):
        assert after[name] == before[name]
    assert after["observedGeneration"] == 2
    assert condition_of(after, "Ready")["observedGeneration"] == 2


def test_all_is_set_on_first_sight() -> None:
    """Also what is not known yet; what nobody has decided is left out."""
    status = status_of()
    assert [kind for kind in TYPES if not condition_of(status, kind)] == []
    assert set(status) == {"observedGeneration", "selector", "conditions"}
    assert condition_of(status, "Other") == {}


def test_the_last_decision_is_told_in_the_words_of_the_api() -> None:
    """What was wanted, what became of it, and each limit."""
    constraints = ("max_replicas 4", "no start has come within 200 s")
    status = status_of(view(4, wanted_replicas=6, constraints=constraints))
    assert status["lastDecision"] == {
        "wanted": 6,
        "final": 4,
        "reason": "demand 0.50 at target 0.95",
        "constraintsApplied": ["replicas.max 4", "no start has come within 200 s"],
    }
    older = status_of(view(1, wanted_replicas=None, wanted_reason="", decision_reason="no_data"))
    assert older["lastDecision"] == {
        "wanted": 1,
        "final": 1,
        "reason": "nothing is known of its load, so what was decided stands",
        "constraintsApplied": [],
    }


@pytest.mark.parametrize(
    ("ratio", "before", "expected"),
    [
        (None, 40, None),
        (0.0, None, 0),
        (0.95, None, 90),
        (1.0, None, 100),
        (0.399, 40, 40),
        (0.37, 40, 30),
        (0.519, 40, 40),
        (0.53, 40, 50),
        (float("nan"), 40, None),
        (float("inf"), None, None),
    ],
)
def test_saturation_is_in_tens_that_stick(ratio: float | None, before: int | None, expected: int | None) -> None:
    """Rounded down; the bucket is left two points beyond its edges; what is no figure is unknown."""
    assert saturation_percent(ratio, before) == expected
