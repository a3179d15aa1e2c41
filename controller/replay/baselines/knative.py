"""Knative's pod autoscaler on concurrency, with its panic mode (KServe's serverless mode is this one).

Source: knative/serving `pkg/autoscaler/scaling/autoscaler.go` @ 00a4a55c, defaults of `config-autoscaler`: tick 2 s,
stable window 60 s, panic window 10 % of it, panic from 200 %, up at most 1000-fold, down at most by half, target 70 %
of the container's concurrency, grace of 30 s before the last pod goes, scale-down delay 0. With that delay a count that
wavers by one cancels the pod that starts, again and again; the delayed form sets the option to one cold start, at least
five minutes, as its documentation advises for slow starts.
"""

from __future__ import annotations

import math

from controller.replay.baselines.pool_facts import PoolFacts, ReplicaSpec, whole
from controller.replay.baselines.windows import Window
from controller.replay.simulation_types import Seen, Wish

TICK_S = 2.0
STABLE_S = 60.0
PANIC_S = 6.0
PANIC_RATIO = 2.0
UP_RATE = 1000.0
DOWN_RATE = 2.0
ZERO_GRACE_S = 30.0
DELAY_S = 300.0


class Knative:
    """Concurrency of the whole revision over a target per pod; only ready pods count, so a start changes nothing."""

    def __init__(self, facts: PoolFacts, target_ratio: float, *, delayed: bool) -> None:
        self.name = "knative-kpa-delayed" if delayed else "knative-kpa"
        self.period_s = TICK_S
        self._target = target_ratio * facts.replica_concurrency
        self._spec = ReplicaSpec(facts.economics)
        self._stable = Window(STABLE_S)
        self._panic = Window(PANIC_S)
        self._wanted_lately = Window(max(DELAY_S, facts.economics.cold_start_s)) if delayed else None
        self._panicked_at_s: float | None = None
        self._panic_pods = 0
        self._idle_since_s: float | None = None
        self._fresh = True

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One tick."""
        if self._fresh:  # an autoscaler that starts over more than one pod starts in panic, so it never shrinks them
            self._fresh = False
            if seen.ready > 1:
                self._panicked_at_s, self._panic_pods = now_s, seen.ready
        in_flight = seen.running + seen.waiting
        if seen.ready == 0:  # the activator holds what arrives, and counts at least what came since the last look
            in_flight = max(in_flight, min(1.0, math.ceil(seen.arrivals_per_s)))
        self._stable.add(in_flight, now_s)
        self._panic.add(in_flight, now_s)
        wanted = self._wanted(seen.ready, now_s)
        if self._wanted_lately is not None:
            self._wanted_lately.add(wanted, now_s)
            wanted = int(self._wanted_lately.highest)
        if wanted > 0:
            self._idle_since_s = None
        elif self._idle_since_s is None:
            self._idle_since_s = now_s
        if self._idle_since_s is not None and now_s - self._idle_since_s < ZERO_GRACE_S:
            wanted = min(1, self._spec.replicas(seen))
        return self._spec.wish(wanted, "panic" if self._panicked_at_s is not None else "stable")

    def _wanted(self, ready: int, now_s: float) -> int:
        pods = max(1, ready)
        lowest, highest = math.floor(pods / DOWN_RATE), math.ceil(pods * UP_RATE)
        for_panic = whole(self._panic.mean / self._target)
        stable = min(max(whole(self._stable.mean / self._target), lowest), highest)
        if for_panic / pods >= PANIC_RATIO:
            self._panicked_at_s = now_s
        elif self._panicked_at_s is not None and now_s > self._panicked_at_s + STABLE_S:
            self._panicked_at_s, self._panic_pods = None, 0
        if self._panicked_at_s is None:
            return stable
        self._panic_pods = max(self._panic_pods, stable, min(max(for_panic, lowest), highest))
        return self._panic_pods


def knative_kpa(facts: PoolFacts, target_ratio: float) -> Knative:
    """Knative with a target of `target_ratio` of the concurrency that one replica bears at its SLO."""
    return Knative(facts, target_ratio, delayed=False)


def knative_kpa_delayed(facts: PoolFacts, target_ratio: float) -> Knative:
    """The same with its scale-down delay on: the greatest count of the delay stands."""
    return Knative(facts, target_ratio, delayed=True)
