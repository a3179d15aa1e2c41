"""llm-d's queueing model (Inferno): replicas from the rate that one bears within the SLO, by a state-dependent queue.

Source: llm-inferno/queue-analysis `pkg/analyzer`, which WVA's queueing model uses: M/M/1/K with service rates by batch
size; the rate is found by bisection for a mean TTFT and a mean ITL, below 99.9 % of the full batch's throughput. The
extended Kalman filter that refits step times is left out: its profile is right from the start, which favours it.
"""

from __future__ import annotations

from controller.replay.baselines.pool_facts import PoolFacts, ReplicaSpec, whole
from controller.replay.baselines.windows import Window
from controller.replay.simulation_types import Seen, Wish

LOOP_S = 30.0
RATE_WINDOW_S = 60.0
STABLE_RATIO = 0.999
QUEUE_PER_BATCH = 1  # places to wait, per place in the batch
BISECTIONS = 30


class Inferno:
    """Arrivals over the rate at the SLO. The model knows queues, not cold starts, prices or what is coming."""

    def __init__(self, facts: PoolFacts, slo_share: float) -> None:
        self.name = "wva-queueing"
        self.period_s = LOOP_S
        self._facts = facts
        self._slo_share = slo_share
        self._spec = ReplicaSpec(facts.economics, at_least=1)
        self._rate = Window(RATE_WINDOW_S)
        self._known: dict[tuple[int, int], float] = {}

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One turn of the engine loop; sizes are rounded to 16 tokens, so the model is solved rarely."""
        self._rate.add(seen.arrivals_per_s, now_s)
        sizes = (max(1, round(seen.input_tokens_mean / 16)) * 16, max(1, round(seen.output_tokens_mean / 16)) * 16)
        if sizes not in self._known:
            self._known[sizes] = rate_at_slo_per_s(self._facts, *sizes, slo_share=self._slo_share)
        return self._spec.wish(whole(self._rate.mean / self._known[sizes]), f"{self._known[sizes]:.2f}/s each")


def rate_at_slo_per_s(facts: PoolFacts, input_tokens: int, output_tokens: int, *, slo_share: float = 1.0) -> float:
    """The greatest rate at which mean TTFT and ITL of one replica stay within `slo_share` of their targets.

    Where even a lone request misses them, the rate of a replica that serves one request at a time.
    """
    batch = max(1, min(facts.max_num_seqs, int(facts.kv_tokens / (input_tokens + output_tokens / 2))))
    steps_s = [_step_s(facts, n, input_tokens, output_tokens) for n in range(1, batch + 1)]
    prefill_s = facts.steps.step_s(0, 0, input_tokens)
    served_per_s = [n / (prefill_s + output_tokens * step_s) for n, step_s in enumerate(steps_s, start=1)]
    low, high = served_per_s[0] / 1000, STABLE_RATIO * served_per_s[-1]
    holds = False
    for _ in range(BISECTIONS):
        rate = (low + high) / 2
        wait_s, running = _queue(rate, served_per_s)
        step_s = steps_s[min(max(1, round(running)), batch) - 1]
        if wait_s + prefill_s + step_s <= slo_share * facts.ttft_slo_s and step_s <= slo_share * facts.tpot_slo_s:
            low, holds = rate, True
        else:
            high = rate
    return low if holds else served_per_s[0]


def _step_s(facts: PoolFacts, decodes: int, input_tokens: int, output_tokens: int) -> float:
    """One iteration in steady state: as many prompts come in as answers end."""
    context = round(decodes * (input_tokens + output_tokens / 2))
    return facts.steps.step_s(decodes, context, round(decodes * input_tokens / output_tokens))


def _queue(rate_per_s: float, served_per_s: list[float]) -> tuple[float, float]:
    """(mean wait, mean batch) of a queue whose service rate is that of its batch, with as many places to wait."""
    batch = len(served_per_s)
    weight = total = 1.0
    running = waiting = blocked = 0.0
    for n in range(1, batch * (1 + QUEUE_PER_BATCH) + 1):
        weight *= rate_per_s / served_per_s[min(n, batch) - 1]
        total += weight
        running += min(n, batch) * weight
        waiting += max(0, n - batch) * weight
        blocked = weight
    accepted_per_s = rate_per_s * (1 - blocked / total)
    return waiting / total / accepted_per_s, running / total


def wva_queueing(facts: PoolFacts, slo_share: float) -> Inferno:
    """The queueing model with its targets at `slo_share` of the SLO."""
    return Inferno(facts, slo_share)
