"""How many replicas keep prompts from waiting too long for one another, where nobody else may be asked.

Each replica computes its prompts one after another, and a newcomer goes where it begins soonest: a queue with as many
servers as there are replicas. How many wait in it, by Sakasegawa ("An approximation formula Lq = a rho^b / (1 - rho)",
Annals of the Institute of Statistical Mathematics 29, 1977), for n servers that are busy the share rho of the time:
`rho^sqrt(2(n + 1)) / (1 - rho)`, times (1 + cv^2) / 2 for prompts of different lengths. Those that wait do so for an
exponential time (Kingman). So the headroom shrinks as a pool grows, about with the square root of its load (Halfin and
Whitt, "Heavy-traffic limits for queues with many exponential servers", Operations Research 29, 1981), and with the
number of prompts that fit into the TTFT: twenty replicas need none beyond their target, a single one most of itself.

What Poisson arrivals do within seconds is in the formula, so the load is an average over minutes: a burst is no load.
Nor is what has ended: the load is at most that of the last seconds, and the cooldown of `decide` bears their noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log, sqrt

from controller.autoscale.capacity import MET_PROMPTS, MISSES_MOST_RATIO, PROMPT_TTFT_RATIO
from controller.core.samples import PoolSample

MEMORY_S = 300.0  # over which the load is averaged
# Of the misses, those that may come of waiting; the others are prompts that are long by themselves, and slow tokens.
WAITING_MISSES_RATIO = 0.5
SHRINK_RATIO = 0.5  # of them, to do with fewer than there are: a load at the border changes nothing to and fro
# What a prompt takes in a pool at work by that on a replica alone, as answers pile up behind prompts and the line that
# looks shortest is not always: pools of 1, 2, 4 and 8, request by request, kept 99 % where the formula then says so.
CROWD_RATIO = 1.15
# Prompts by their mean length: exponential. The middles of eight equal shares.
_LENGTHS = tuple(-log(1.0 - (part + 0.5) / 8) for part in range(8))


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLoad:
    """The mean of the last minutes, `known_s` of them. `busy_replicas`: so many compute a prompt at any moment."""

    at_s: float
    known_s: float = 0.0
    requests_per_s: float = 0.0
    busy_replicas: float = 0.0

    @property
    def prompt_s(self) -> float:
        """Of one prompt; 0 when none came."""
        return self.busy_replicas / self.requests_per_s if self.requests_per_s > 0.0 else 0.0


def present(load: PromptLoad, sample: PoolSample) -> PromptLoad:
    """The load, where less comes just now as much less."""
    busy_replicas = sample.arrivals_per_s * sample.prompt_s
    if busy_replicas >= load.busy_replicas:
        return load
    left = busy_replicas / load.busy_replicas
    return replace(load, requests_per_s=left * load.requests_per_s, busy_replicas=busy_replicas)


def followed(load: PromptLoad | None, sample: PoolSample, now_s: float) -> PromptLoad:
    """The load with this sample taken in: for as long as nothing was heard since the last one."""
    if load is None:
        return PromptLoad(at_s=now_s)
    passed_s = max(0.0, now_s - load.at_s)
    new = passed_s / (load.known_s + passed_s) if passed_s > 0.0 else 0.0
    busy_replicas = sample.arrivals_per_s * sample.prompt_s
    return PromptLoad(
        at_s=now_s,
        known_s=min(MEMORY_S, load.known_s + passed_s),
        requests_per_s=load.requests_per_s + new * (sample.arrivals_per_s - load.requests_per_s),
        busy_replicas=load.busy_replicas + new * (busy_replicas - load.busy_replicas),
    )


def replicas_in_time(load: PromptLoad, ttft_s: float, *, have: int, least: int, most: int) -> int:
    """The fewest from `least` on with which prompts seldom wait too long, and fewer than there are (`have`) only where
    they wait clearly less; no more than `most` for that. None are needed for it where there is no demand (`least` 0).
    """
    allowed = WAITING_MISSES_RATIO * MISSES_MOST_RATIO
    replicas = least
    while 0 < replicas < most:
        if late_ratio(load, ttft_s, replicas) <= (allowed if replicas >= have else SHRINK_RATIO * allowed):
            break
        replicas += 1
    return replicas


def late_ratio(load: PromptLoad, ttft_s: float, replicas: int) -> float:
    """The share of requests whose first token is late because of prompts before theirs.

    A prompt that takes long alone does so in any pool, so half of the TTFT is for waiting at least; and where the mean
    one takes more than half of it, the TTFT is taken to be twice that, as none could keep the other.
    """
    busy = CROWD_RATIO * load.busy_replicas / replicas
    if busy <= 0.0:
        return 0.0
    if busy >= 1.0:
        return 1.0
    prompt_s = CROWD_RATIO * load.prompt_s
    allowed_s = max(ttft_s, prompt_s / PROMPT_TTFT_RATIO)
    waiting = exp((sqrt(2.0 * (replicas + 1)) - 1.0) * log(busy))
    wait_s = MET_PROMPTS / 2.0 * prompt_s / (replicas * (1.0 - busy))
    late = (exp(-max(allowed_s - length * prompt_s, PROMPT_TTFT_RATIO * allowed_s) / wait_s) for length in _LENGTHS)
    return waiting * sum(late) / len(_LENGTHS)
