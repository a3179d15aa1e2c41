"""Values that the tests of a ModelPool's status share: pools, views, facts, and any of them by chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from controller.core.errors import Problem
from controller.core.fleet import Pin, PoolView, Replica, ReplicaState, RoutingMode
from controller.core.pools import EngineArgs, Pool, ScalePolicy, Slo, SpillPolicy
from controller.modelpool.conditions import condition_of
from controller.modelpool.facts import Obstacle, PoolFacts, Trouble
from controller.modelpool.pins import PinWord
from controller.modelpool.status import Status, pool_status

NOW_S = 1_795_687_200.0  # 2026-11-26T10:00:00Z
NAME = "llama-8b"


def pool(**scale: Any) -> Pool:
    """A pool that spills."""
    return Pool(
        name=NAME,
        model="llama-8b-self",
        instance_type="g5.2xlarge",
        engine=EngineArgs(),
        slo=Slo(ttft_p95_s=2.0, tpot_p95_s=0.1),
        scale=ScalePolicy(**scale),
        spill=SpillPolicy(to=("gpt-6-luna",)),
    )


def replica(number: int, state: ReplicaState = ReplicaState.READY, reason: str = "") -> Replica:
    """One replica."""
    name = f"{NAME}-{number}"
    return Replica(
        replica_id=name, pool=NAME, url=f"http://10.0.0.{number}:8000", state=state, started_at_s=NOW_S, reason=reason
    )


def view(ready: int = 1, warming: int = 0, draining: int = 0, *, why: str = "", **fields: Any) -> PoolView:
    """A pool with so many replicas, as many as are desired unless said."""
    states = [ReplicaState.READY] * ready + [ReplicaState.WARMING] * warming + [ReplicaState.DRAINING] * draining
    replicas = tuple(
        replica(number, state, why if state is ReplicaState.WARMING else "") for number, state in enumerate(states)
    )
    found = PoolView(
        name=NAME,
        replicas=replicas,
        mode_since_s=NOW_S - 60,
        mode_reason="fits",
        saturation_ratio=0.42,
        desired_replicas=ready + warming,
        wanted_replicas=ready + warming,
        wanted_reason="demand 0.50 at target 0.95",
    )
    return replace(found, **fields)


def facts(**fields: Any) -> PoolFacts:
    """A pool with a good spec."""
    return PoolFacts(**{"name": NAME, "generation": 1, "pool": pool(), "selector": "app=llama-8b", **fields})


def error(key: str = "spec.model", message: str = "no such model", severity: str = "error", **fields: Any) -> Problem:
    """A problem of a spec."""
    found = Problem(
        file=f"modelpool/{NAME}", line=None, key=key, value="x", allowed="y", message=message, severity=severity
    )
    return replace(found, **fields)


def pin_word(until_s: float = NOW_S + 3600, **fields: Any) -> PinWord:
    """Two replicas, pinned."""
    said = {"routing": None, "replicas": 2, "who": "oncall", "reason": "launch day", "until_s": until_s}
    return PinWord(pin=Pin(**{**said, **fields}), since_s=NOW_S - 60)


def held(status: Status, kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = condition_of(status, kind)
    return str(found["status"]), str(found["reason"])


def message(status: Status, kind: str) -> str:
    """What a condition says."""
    return str(condition_of(status, kind)["message"])


def status_of(
    seen: PoolView | None = None, previous: Status | None = None, now_s: float = NOW_S, **fields: Any
) -> Status:
    """The status of a good pool with that view."""
    return pool_status(facts(**fields), seen, previous, now_s)


_words = st.text(max_size=2000)
_seconds = st.floats(0, 4e9)
replicas = st.lists(
    st.builds(
        Replica,
        replica_id=st.uuids().map(str),
        pool=st.just(NAME),
        url=st.sampled_from(["http://10.0.0.1:8000", ""]),
        state=st.sampled_from(ReplicaState),
        started_at_s=_seconds,
        reason=st.sampled_from(["", "no node: Insufficient nvidia.com/gpu", "ImagePullBackOff"]) | _words,
    ),
    max_size=6,
).map(tuple)
modes = st.sampled_from([(RoutingMode.LOCAL, 0.0), (RoutingMode.EXTERNAL, 1.0)]) | st.floats(0, 1).map(
    lambda ratio: (RoutingMode.SPILLING, ratio)
)


@st.composite
def views(draw: st.DrawFn) -> PoolView:
    """Any view that a controller may publish."""
    mode, ratio = draw(modes)
    return PoolView(
        name=NAME,
        replicas=draw(replicas),
        mode=mode,
        spill_ratio=ratio,
        mode_since_s=draw(_seconds),
        mode_reason=draw(_words),
        saturation_ratio=draw(st.none() | st.floats(0, 1e6) | st.just(float("nan"))),
        desired_replicas=draw(st.none() | st.integers(0, 1000)),
        decision_reason=draw(_words),
        wanted_replicas=draw(st.none() | st.integers(0, 10**9)),
        wanted_reason=draw(_words),
        constraints=tuple(draw(st.lists(_words, max_size=20))),
        cold_starts_s=tuple(draw(st.lists(st.floats(0.001, 1e9), max_size=12))),
        missing_replicas=draw(st.integers(0, 1000)),
    )


_problems = st.lists(
    st.builds(
        error,
        key=st.sampled_from(["spec.model", "spec.engine", "spec.spill.to[0]"]),
        message=_words,
        severity=st.sampled_from(["error", "warning"]),
    ),
    max_size=4,
).map(tuple)
_pins = st.builds(
    pin_word,
    until_s=_seconds,
    routing=st.none() | st.sampled_from(RoutingMode),
    replicas=st.integers(0, 1000),
    who=_words,
    reason=_words,
)
any_facts = st.builds(
    PoolFacts,
    name=st.just(NAME),
    generation=st.integers(0, 2**31),
    pool=st.none() | st.builds(pool, min_replicas=st.integers(0, 4), max_replicas=st.integers(4, 1000)),
    problems=_problems,
    troubles=st.lists(st.builds(Trouble, obstacle=st.sampled_from(Obstacle), message=_words), max_size=3).map(tuple),
    pin=st.none() | _pins,
    selector=st.sampled_from(["", "app=llama-8b"]),
    is_kept=st.booleans(),
)
