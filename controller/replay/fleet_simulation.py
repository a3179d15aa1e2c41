"""A request-level simulation of one pool under a policy: every request meets real batches, queues and KV caches.

Requests arrive, the gateway sends each to the least busy replica or to a provider, replicas are engine models, and the
policy decides at its period how many there are, from what the last scrape showed. Unlike `fluid` it has no rate per
replica: whether a request attains its SLO comes out of the iterations that compute it.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controller.core.errors import SimulationError
from controller.core.models import StepTimes
from controller.core.pools import EngineArgs, Slo
from controller.replay.fleet_simulation_monitor import FleetMonitor
from controller.replay.fleet_simulation_providers import ExternalProvider, ExternalProviders
from controller.replay.fleet_simulation_replicas import SimulatedFleet, TypicalRequest
from controller.replay.simulation_types import Autoscaler, Economics, Outcome

GATEWAYS = ("valve", "naive", "none")
TTFT_RATIO, TPOT_RATIO = 0.9, 0.95  # of what is allowed: a request that is predicted more goes out
NAIVE_ENTER_S = 5.0  # every replica has had waiting requests for so long: all traffic goes out
NAIVE_HOLD_S = 60.0  # for so long
STRANDED_S = 600.0  # a policy that starts nothing for so long will not
SPILL_CALM_S = 60.0  # spilling has ended when nothing was spilled for so long
_CHECK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRequests:
    """The load: as long as each other, in order of arrival. `prefixes` has the block hashes of each prompt."""

    arrival_s: Sequence[float]
    input_tokens: Sequence[int]
    output_tokens: Sequence[int]
    prefixes: Sequence[tuple[int, ...]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSetup:
    """The pool: its engine, objective and prices, and what is around it."""

    steps: StepTimes
    engine: EngineArgs
    slo: Slo
    economics: Economics
    providers: tuple[ExternalProvider, ...] = ()
    gateway: str = "valve"
    scrape_s: float = 15.0
    replicas_at_start: int = 1
    cold_start_cv: float = 0.0


def simulate_fleet(
    requests: FleetRequests, policy: Autoscaler, setup: FleetSetup, *, workload: str = "", seed: int = 0
) -> Outcome:
    """What came of the whole load. The run ends when the last request has its answer; replicas that are left then are
    paid until that moment.
    """
    _check(requests, setup)
    run = _FleetRun(requests, policy, setup, np.random.default_rng(seed))
    run.play()
    return run.outcome(workload, seed)


class _FleetRun:
    """The state of one run."""

    def __init__(
        self, requests: FleetRequests, policy: Autoscaler, setup: FleetSetup, chance: np.random.Generator
    ) -> None:
        self._setup, self._policy, self._chance = setup, policy, chance
        self._economics = setup.economics
        self._arrival_s = [*map(float, requests.arrival_s), math.inf]
        self._input = [max(1, int(tokens)) for tokens in requests.input_tokens]
        self._output = [max(1, int(tokens)) for tokens in requests.output_tokens]
        self._prefixes = requests.prefixes
        count = len(self._input)
        typical = TypicalRequest(input_tokens=sum(self._input) // count, output_tokens=sum(self._output) // count)
        self._fleet = SimulatedFleet(
            setup.steps, setup.engine, typical, setup.economics.replica_usd_per_s, setup.replicas_at_start
        )
        self._providers = ExternalProviders(setup.providers, chance)
        self._monitor = FleetMonitor(setup.scrape_s, setup.economics.replica_requests_per_s, typical)
        self._first_s = array("d", bytes(8 * count))
        self._wait_s = array("d", bytes(8 * count))  # as predicted
        self._held: deque[int] = deque()  # nobody is ready for these
        self._ttft_s, self._tpot_s = setup.slo.ttft_p95_s, setup.slo.tpot_p95_s
        self._wished = setup.replicas_at_start
        self._spill_ratio: float | None = None
        self._owed = 0.0  # requests that the policy's ratio would have spilled already
        self._open_until_s = self._waiting_since_s = math.inf
        self._spilled_at_s = -math.inf
        self._now_s = self._spill_usd = 0.0
        self._done = self._attained = self._spilled = self._regretted = self._actions = self._episodes = 0
        self._peak = setup.replicas_at_start

    def play(self) -> None:
        """Take events in order of time until every request is done or nobody will ever serve it."""
        fleet, arrival_s, total = self._fleet, self._arrival_s, len(self._input)
        tick_s, scrape_s, check_s = 0.0, self._setup.scrape_s, 0.0 if self._setup.gateway == "naive" else math.inf
        at = 0
        while self._done < total:
            due_s = min(fleet.due_s, default=math.inf)
            next_s = arrival_s[at]
            others_s = (
                min(tick_s, scrape_s, check_s, fleet.next_ready_s) if fleet.starting else min(tick_s, scrape_s, check_s)
            )
            if due_s < next_s and due_s <= others_s:
                self._now_s = due_s
                self._wake(fleet.due_s.index(due_s))
            elif next_s < others_s:
                self._now_s = next_s
                self._arrive(at)
                at += 1
            else:
                self._now_s = others_s
                if fleet.next_ready_s <= others_s:
                    self._start_replicas()
                elif scrape_s <= others_s:
                    fleet.look(others_s)
                    self._monitor.scrape(fleet)
                    scrape_s += self._setup.scrape_s
                elif tick_s <= others_s:
                    self._tick()
                    if at == total and self._is_stranded():
                        return
                    tick_s += self._policy.period_s
                else:
                    self._check_waiting()
                    check_s += _CHECK_S

    def outcome(self, workload: str, seed: int) -> Outcome:
        """The sums of the run."""
        gpu_usd = self._fleet.paid_until(self._now_s)
        offered, hours = len(self._input), max(self._now_s, 1.0) / 3600.0
        lost = offered - self._done
        calm = self._now_s - self._spilled_at_s >= SPILL_CALM_S
        flips = 2 * self._episodes - (0 if calm or not self._episodes else 1)
        return Outcome(
            policy=self._policy.name,
            workload=workload,
            seed=seed,
            usd=gpu_usd + self._spill_usd,
            gpu_usd=gpu_usd,
            spill_usd=self._spill_usd,
            offered=offered,
            attained=self._attained,
            spilled=self._spilled,
            late=self._done - self._attained,
            lost=lost,
            actions_per_hour=self._actions / hours,
            flips_per_hour=flips / hours,
            regret_ratio=self._regretted / self._spilled if self._spilled else 0.0,
            peak_replicas=self._peak,
        )

    def _arrive(self, name: int) -> None:
        """A request comes: home, out, or held until a replica is ready."""
        tokens = self._input[name]
        monitor = self._monitor
        monitor.offered += 1
        monitor.input_tokens += tokens
        monitor.output_tokens += self._output[name]
        index = self._fleet.least_busy()
        fits = False
        if index is not None:
            wait_s, ttft_s, tpot_s = self._fleet.predicted_s(index, tokens)
            self._wait_s[name] = min(wait_s, 1e6)
            fits = ttft_s <= TTFT_RATIO * self._ttft_s and tpot_s <= TPOT_RATIO * self._tpot_s
        if self._goes_out(fits) and self._spill(name, fits):
            return
        if index is None:
            self._held.append(name)
        else:
            self._send(index, name)

    def _goes_out(self, fits: bool) -> bool:
        """Whether the policy's ratio, or else the gateway, wants this request out."""
        if self._economics.spill_usd_per_request == math.inf:
            return False
        if self._spill_ratio is not None:
            self._owed += self._spill_ratio
            if self._owed < 1.0:
                return False
            self._owed -= 1.0
            return True
        if self._setup.gateway == "naive":
            return self._open_until_s < math.inf
        return self._setup.gateway == "valve" and not fits

    def _spill(self, name: int, fits: bool) -> bool:
        """Out, if a provider takes it."""
        answer = self._providers.answer(self._now_s, self._input[name], self._output[name])
        if answer is None:
            return False
        self._episodes += self._now_s - self._spilled_at_s >= SPILL_CALM_S
        self._spilled_at_s = self._now_s
        self._spilled += 1
        self._monitor.spilled += 1
        self._regretted += fits
        self._spill_usd += answer.usd
        self._judge(answer.ttft_s, answer.tpot_s)
        return True

    def _send(self, index: int, name: int) -> None:
        prefix = self._prefixes[name] if self._prefixes is not None else ()
        self._fleet.send(index, self._now_s, name, (self._input[name], self._output[name]), prefix)

    def _wake(self, index: int) -> None:
        """An engine has got on: first tokens and finished answers."""
        woken = self._fleet.wake(index, self._input)
        at_s = woken.at_s
        for name in woken.first:
            self._first_s[name] = at_s  # type: ignore[call-overload]  # names are our own integers
            wait_s = self._wait_s[name]  # type: ignore[call-overload]
            if wait_s > 0.0:
                self._fleet.learn(wait_s, self._input[name], at_s - self._arrival_s[name])  # type: ignore[call-overload]
        for name in woken.finished:
            first_s = self._first_s[name]  # type: ignore[call-overload]
            ttft_s = first_s - self._arrival_s[name]  # type: ignore[call-overload]
            tpot_s = (at_s - first_s) / max(1, self._output[name] - 1)  # type: ignore[call-overload]
            self._monitor.served += 1
            self._monitor.ttft_s.append(ttft_s)
            self._monitor.tpot_s.append(tpot_s)
            self._judge(ttft_s, tpot_s)

    def _judge(self, ttft_s: float, tpot_s: float) -> None:
        self._done += 1
        self._attained += ttft_s <= self._ttft_s and tpot_s <= self._tpot_s

    def _tick(self) -> None:
        """The policy's turn."""
        wish = self._policy.step(self._monitor.counted(self._fleet), self._now_s)
        limits = self._economics
        wanted = min(limits.max_replicas, max(limits.min_replicas, wish.replicas))
        self._actions += wanted != self._wished
        self._wished = wanted
        self._spill_ratio = wish.spill_ratio
        self._fleet.want(wanted, self._now_s, self._cold_start_s)
        self._peak = max(self._peak, self._fleet.ready + len(self._fleet.starting))

    def _start_replicas(self) -> None:
        self._fleet.start_due(self._now_s)
        while self._held and (index := self._fleet.least_busy()) is not None:
            self._send(index, self._held.popleft())

    def _check_waiting(self) -> None:
        """The naive fallback route opens after five seconds in which every replica had a queue, for a minute."""
        if self._now_s >= self._open_until_s:
            self._open_until_s = self._waiting_since_s = math.inf
        pods = [pod for pod in self._fleet.live if not pod.draining]
        if self._open_until_s == math.inf:
            if all(pod.engine.waiting for pod in pods):
                self._waiting_since_s = min(self._waiting_since_s, self._now_s)
            else:
                self._waiting_since_s = math.inf
            if self._now_s - self._waiting_since_s >= NAIVE_ENTER_S:
                self._open_until_s = self._now_s + NAIVE_HOLD_S

    def _is_stranded(self) -> bool:
        """Long after the last request the policy wants nothing, and nothing is under way: what is held stays so."""
        late = self._now_s - self._arrival_s[-2] > STRANDED_S
        return late and not self._wished and all(due_s == math.inf for due_s in self._fleet.due_s)

    def _cold_start_s(self) -> float:
        """One draw, lognormal about the mean."""
        cv = self._setup.cold_start_cv
        if not cv:
            return self._economics.cold_start_s
        spread = math.sqrt(math.log1p(cv * cv))
        return self._economics.cold_start_s * math.exp(spread * float(self._chance.standard_normal()) - spread**2 / 2)


def _check(requests: FleetRequests, setup: FleetSetup) -> None:
    """Refuse what cannot be played."""
    count = len(requests.arrival_s)
    if not count:
        raise SimulationError("there are no requests; at least one is needed")
    if len(requests.input_tokens) != count or len(requests.output_tokens) != count:
        raise SimulationError(f"input_tokens and output_tokens must be as long as arrival_s: {count}")
    arrival_s = np.asarray(requests.arrival_s, dtype=np.float64)
    if not (np.isfinite(arrival_s).all() and arrival_s[0] >= 0 and (np.diff(arrival_s) >= 0).all()):
        raise SimulationError("arrival_s must be finite, >= 0 and in order")
    longest = int((np.maximum(1, requests.input_tokens) + np.maximum(1, requests.output_tokens)).max())
    if longest > setup.engine.max_model_len_tokens:
        limit = setup.engine.max_model_len_tokens
        raise SimulationError(
            f"the longest request has {longest} tokens; at most {limit} (max_model_len) fit an engine"
        )
    if setup.gateway not in GATEWAYS:
        raise SimulationError(f"gateway is {setup.gateway!r}; it must be {', '.join(GATEWAYS)}")
