"""AIBrix' two pod autoscalers, each as coded and mended, and its optimizer for the pool of one GPU type.

Source: vllm-project/aibrix `pkg/controller/podautoscaler`: `algorithm/apa.go` @ 4148b7a1, `kpa.go` @ 2dbf7829,
`podautoscaler_controller.go` (stabilization), `autoscaler.go` @ 015a2e5f (the later guard for pending replicas).
Defaults: reconcile 10 s, stable window 180 s, panic window 60 s, tolerances 0.1, rates 2, cooldown 300 s down, none up.

Faults as coded: (1) down to the *least* recommendation of the cooldown instead of the greatest, so the window deepens
a dip instead of damping it; (2) `KPA` compares the *mean* of pods, not their sum, with the target per pod, so with a
ratio as its metric it never asks for more than 1/target pods, and halves whatever is above; (3) the hold of the panic
mode starts at 0 pods and is not kept; (4) a starting pod counts as one at the mean, so it is ordered over again.
"""

from __future__ import annotations

import math

from controller.replay.baselines.pool_facts import PoolFacts, ReplicaSpec, whole
from controller.replay.baselines.windows import Window
from controller.replay.simulation_types import Seen, Wish

RECONCILE_S = 10.0
STABLE_S = 180.0
PANIC_S = 60.0
TOLERANCE_RATIO = 0.1
RATE = 2.0
PANIC_RATIO = 2.0
DOWN_COOLDOWN_S = 300.0
OPTIMIZER_WINDOW_S = 240.0


class Apa:
    """Proportional, at most doubled or halved. `mended`: pending pods count as empty (up) or at the target (down)."""

    def __init__(self, facts: PoolFacts, target_ratio: float, *, mended: bool) -> None:
        self.name = "aibrix-apa-mended" if mended else "aibrix-apa"
        self.period_s = RECONCILE_S
        self._target = target_ratio
        self._mended = mended
        self._spec = ReplicaSpec(facts.economics, at_least=1)
        self._usage = Window(STABLE_S)
        self._cooldown = Cooldown(mended=mended)

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One reconciliation; without a ready pod there is no metric, and nothing moves."""
        current = self._spec.replicas(seen)
        if seen.ready == 0:
            return self._spec.wish(max(current, 1), "metric missing: hold")
        self._usage.add(seen.kv_usage_ratio, now_s)
        ratio = self._usage.mean / self._target
        recommended = self._guarded(ratio, current, min(seen.ready, current)) if self._mended else _apa(ratio, current)
        wanted = self._cooldown.settle(self._spec.bounded(recommended), current, now_s)
        return self._spec.wish(wanted, f"usage is {ratio:.2f} of target")

    def _guarded(self, ratio: float, current: int, ready: int) -> int:
        recommended = _apa(ratio, current)
        pending = current - ready
        if recommended > current:
            return min(recommended, max(current, whole(ratio * ready)))
        if recommended < current:
            return max(recommended, min(current, whole(ratio * ready + pending)))
        return current


class Kpa:
    """Knative's rule over the mean of pods; `mended`: over their sum, and with a panic that holds what it reached."""

    def __init__(self, facts: PoolFacts, target_ratio: float, *, mended: bool) -> None:
        self.name = "aibrix-kpa-mended" if mended else "aibrix-kpa"
        self.period_s = RECONCILE_S
        self._target = target_ratio
        self._mended = mended
        self._spec = ReplicaSpec(facts.economics, at_least=1)
        self._core = KpaCore(holds=mended)
        self._cooldown = Cooldown(mended=mended)

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One reconciliation; without a ready pod there is no metric, and nothing moves."""
        current = self._spec.replicas(seen)
        if seen.ready == 0:
            return self._spec.wish(max(current, 1), "metric missing: hold")
        value = seen.kv_usage_ratio * (seen.ready if self._mended else 1)
        recommended = self._core.recommend(value, self._target, current, now_s)
        wanted = self._cooldown.settle(self._spec.bounded(recommended), current, now_s)
        return self._spec.wish(wanted, "panic" if self._core.panics else "stable")


class Optimizer:
    """The optimizer's count, as a total for the autoscaler to follow.

    It groups requests by size, looks each group up in a profile of requests per second at the SLO, and lets an integer
    program choose GPUs. With one GPU type the program's answer is the sum of the loads rounded up, and with the rate at
    the SLO given for the mix of the pool, the groups change nothing: no clustering here.
    """

    def __init__(self, facts: PoolFacts, target_use_ratio: float) -> None:
        self.name = "aibrix-optimizer"
        self.period_s = RECONCILE_S
        self._bears_per_s = target_use_ratio * facts.economics.replica_requests_per_s
        self._spec = ReplicaSpec(facts.economics)
        self._rate = Window(OPTIMIZER_WINDOW_S)
        self._core = KpaCore(holds=False)
        self._cooldown = Cooldown(mended=False)

    def step(self, seen: Seen, now_s: float) -> Wish:
        """Demand is the greater of the window's rate and the newest one."""
        self._rate.add(seen.arrivals_per_s, now_s)
        count = whole(max(self._rate.mean, seen.arrivals_per_s) / self._bears_per_s)
        current = self._spec.replicas(seen)
        recommended = self._core.recommend(count, 1.0, current, now_s)
        wanted = self._cooldown.settle(self._spec.bounded(recommended), current, now_s)
        return self._spec.wish(wanted, f"optimizer asks for {count}")


class KpaCore:
    """KPA of AIBrix: windows, limits of a step, the panic mode. `holds`: panic keeps its greatest count."""

    def __init__(self, *, holds: bool) -> None:
        self._holds = holds
        self._stable = Window(STABLE_S)
        self._panic = Window(PANIC_S)
        self._panicked_at_s = -math.inf
        self._panic_pods = 0
        self.panics = False

    def recommend(self, value: float, target: float, current: int, now_s: float) -> int:
        """Pods for a value of which each bears `target`, at most doubled or halved."""
        self._stable.add(value, now_s)
        self._panic.add(value, now_s)
        stable, panic = self._stable.mean, self._panic.mean
        over = panic > PANIC_RATIO * stable > 0
        if self._holds:
            over = over or whole(panic / target) / max(1, current) >= PANIC_RATIO
        if over:
            self._panicked_at_s = now_s
        self.panics = over or (self._holds and now_s - self._panicked_at_s <= STABLE_S)
        lowest, highest = math.floor(current / RATE), max(1, math.ceil(current * RATE))
        wanted = min(max(whole(stable / target), lowest), highest)
        if not self.panics:
            self._panic_pods = 0
            return wanted
        wanted = max(wanted, min(max(whole(panic / target), lowest), highest))
        self._panic_pods = max(self._panic_pods if self._holds else 0, wanted)
        return self._panic_pods


class Cooldown:
    """Stabilization of a way down: to the least recommendation of the window as coded, to the greatest if `mended`."""

    def __init__(self, *, mended: bool) -> None:
        self._mended = mended
        self._window = Window(DOWN_COOLDOWN_S)

    def settle(self, recommended: int, current: int, now_s: float) -> int:
        """The count to go to; a way up is free."""
        self._window.add(recommended, now_s)
        if recommended >= current:
            return recommended
        return min(current, int(self._window.highest)) if self._mended else int(self._window.lowest)


def _apa(ratio: float, current: int) -> int:
    if ratio > 1 + TOLERANCE_RATIO:
        return min(whole(current * ratio), math.ceil(RATE * current))
    if ratio < 1 - TOLERANCE_RATIO:
        return max(whole(current * ratio), math.floor(current / RATE))
    return current


def aibrix_apa(facts: PoolFacts, target_ratio: float) -> Apa:
    """APA on KV cache use, as coded."""
    return Apa(facts, target_ratio, mended=False)


def aibrix_apa_mended(facts: PoolFacts, target_ratio: float) -> Apa:
    """APA with the guard for pending pods and a cooldown that damps."""
    return Apa(facts, target_ratio, mended=True)


def aibrix_kpa(facts: PoolFacts, target_ratio: float) -> Kpa:
    """KPA on KV cache use, as coded."""
    return Kpa(facts, target_ratio, mended=False)


def aibrix_kpa_mended(facts: PoolFacts, target_ratio: float) -> Kpa:
    """KPA on the sum of KV cache use."""
    return Kpa(facts, target_ratio, mended=True)


def aibrix_optimizer(facts: PoolFacts, target_use_ratio: float) -> Optimizer:
    """The optimizer's count followed by KPA, as the samples have it."""
    return Optimizer(facts, target_use_ratio)
