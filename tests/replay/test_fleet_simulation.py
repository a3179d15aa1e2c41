"""The request-level simulation: what becomes of requests, what it costs, and what policies get to see."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from controller.core.errors import SimulationError
from controller.core.models import StepTimes
from controller.core.pools import EngineArgs, Slo
from controller.replay.fast_engine import FastEngine
from controller.replay.fleet_simulation import FleetRequests, FleetSetup, simulate_fleet
from controller.replay.fleet_simulation_providers import ExternalProvider, ExternalProviders
from controller.replay.fleet_simulation_replicas import SimulatedFleet, TypicalRequest
from controller.replay.simulation_types import Economics, Outcome, Seen, Wish

STEPS = StepTimes(
    alpha_ms=10.0,
    beta_ms_per_seq=0.1,
    gamma_ms_per_1k_context=0.1,
    correction=1.0,
    p0_ms=10.0,
    p1_ms_per_1k=100.0,
    p2_ms_per_1k_sq=0.0,
    kv_cache_tokens=8192,
)
ENGINE = EngineArgs(max_num_seqs=4, max_model_len_tokens=4096)
ECONOMICS = Economics(
    replica_usd_per_s=0.01, spill_usd_per_request=0.002, replica_requests_per_s=2.0, cold_start_s=20.0, max_replicas=4
)
PROVIDER = ExternalProvider(name="external", input_usd_per_mtok=1.0, output_usd_per_mtok=2.0)
SETUP = FleetSetup(
    steps=STEPS, engine=ENGINE, slo=Slo(ttft_p95_s=1.0, tpot_p95_s=0.05), economics=ECONOMICS, providers=(PROVIDER,)
)


@dataclass
class _Plan:
    """A policy that wants what it is told to at each second, and remembers what it saw."""

    replicas: Callable[[float], int]
    spill_ratio: float | None = None
    name: str = "plan"
    period_s: float = 5.0
    seen: list[tuple[float, Seen]] = field(default_factory=list)

    def step(self, seen: Seen, now_s: float) -> Wish:
        self.seen.append((now_s, seen))
        return Wish(replicas=self.replicas(now_s), spill_ratio=self.spill_ratio)


def _load(count: int, per_s: float, *, input_tokens: int = 500, output_tokens: int = 50) -> FleetRequests:
    return FleetRequests(
        arrival_s=[n / per_s for n in range(count)],
        input_tokens=[input_tokens] * count,
        output_tokens=[output_tokens] * count,
    )


def _run(load: FleetRequests, policy: _Plan | None = None, **changes: object) -> Outcome:
    return simulate_fleet(load, policy or _Plan(lambda _: 1), replace(SETUP, **changes), workload="test")  # type: ignore[arg-type]


def test_light_load_stays_at_home_and_costs_the_replica() -> None:
    """Every request attains; the bill is the replica's time until the last answer."""
    found = _run(_load(20, 0.5))
    assert (found.offered, found.attained, found.spilled, found.lost, found.late) == (20, 20, 0, 0, 0)
    assert found.usd == found.gpu_usd == pytest.approx(0.01 * (38 + 0.06 + 49 * 0.0105), rel=0.01)
    assert (found.policy, found.workload, found.seed, found.actions_per_hour) == ("plan", "test", 0, 0.0)


def test_one_replica_serves_as_its_engine_does() -> None:
    """The fleet adds nothing to the engine model: the same answers end at the same times."""
    load = _load(60, 12.0)
    engine, late = FastEngine(STEPS, ENGINE, STEPS.kv_cache_tokens), 0
    first_s: dict[object, float] = {}
    woken = []
    for name, at_s in enumerate(load.arrival_s):
        woken += engine.advance(at_s)
        engine.arrive(at_s, name, 500, 50)
    for seen in woken + engine.advance(math.inf):
        first_s.update(dict.fromkeys(seen.first, seen.at_s))
        late += sum(first_s[name] - load.arrival_s[name] > 1.0 for name in seen.finished)  # type: ignore[call-overload]
    found = _run(load, gateway="none")
    assert 0 < found.late == late < 60
    assert found.usd == pytest.approx(0.01 * engine.clock_s)


def test_the_valve_spills_what_would_be_late_and_nothing_else() -> None:
    """Three times what a replica can do: nearly all attain, none is spilled for which there was room."""
    load = _load(400, 12.0)
    found, closed = _run(load), _run(load, gateway="none")
    assert found.attained_ratio > 0.95
    assert closed.attained_ratio < 0.2
    assert 0.3 < found.spilled / found.offered < 0.9
    assert found.regret_ratio == 0.0
    assert found.spill_usd == pytest.approx(found.spilled * (500 * 1.0 + 50 * 2.0) / 1e6)
    assert found.usd == found.gpu_usd + found.spill_usd


def test_spilling_that_is_forbidden_or_refused_leaves_requests_at_home() -> None:
    """An infinite price, no provider, an outage: late, not lost."""
    load = _load(200, 12.0)
    for changes in (
        {"economics": replace(ECONOMICS, spill_usd_per_request=math.inf)},
        {"providers": ()},
        {"providers": (replace(PROVIDER, outages=((0.0, 1e6),)),)},
    ):
        found = _run(load, **changes)
        assert (found.spilled, found.lost) == (0, 0)
        assert found.late > 100


def test_a_naive_fallback_opens_after_five_seconds_of_waiting_for_a_minute() -> None:
    """All traffic leaves then, also what there was room for; flips are few."""
    found = _run(_load(1200, 8.0), gateway="naive")
    assert 0.2 < found.spilled / found.offered < 0.95
    assert found.regret_ratio > 0.3
    assert found.late > 10
    assert _run(_load(20, 0.5), gateway="naive").spilled == 0


def test_a_policy_may_say_what_share_is_spilled() -> None:
    """A quarter, whatever the load; for all of it there was room."""
    found = _run(_load(80, 1.0), _Plan(lambda _: 1, spill_ratio=0.25))
    assert found.spilled == 20
    assert found.regret_ratio == 1.0
    assert found.flips_per_hour > 0


def test_replicas_are_paid_from_order_to_release_and_serve_after_their_cold_start() -> None:
    """One more from 50 s to 100 s: it is ready at 70 s, and paid for 50 s."""
    plan = _Plan(lambda now_s: 2 if 50 <= now_s < 100 else 1)
    found = _run(_load(150, 1.0), plan)
    flat = _run(_load(150, 1.0))
    assert found.gpu_usd - flat.gpu_usd == pytest.approx(0.01 * 50, abs=0.02)
    counts = {now_s: (seen.ready, seen.starting) for now_s, seen in plan.seen}
    assert [counts[at_s] for at_s in (50.0, 55.0, 75.0, 105.0)] == [(1, 0), (1, 1), (2, 0), (1, 0)]
    assert found.peak_replicas == 2
    assert found.actions_per_hour == pytest.approx(2 * 3600 / 149.6, rel=0.01)


def test_an_order_that_is_cancelled_is_paid_so_far() -> None:
    """Ten seconds of a start that was not needed; the youngest order goes first."""
    found = _run(_load(60, 1.0), _Plan(lambda now_s: 3 if now_s == 10 else 2 if now_s < 30 else 1))
    flat = _run(_load(60, 1.0), _Plan(lambda _: 1))
    assert found.gpu_usd > flat.gpu_usd


def test_a_replica_drains_before_it_goes() -> None:
    """Released while it answers: its answers end, no new ones begin, and it is paid until then."""
    load = FleetRequests(arrival_s=[0.0, 0.0, 2.0, 6.0], input_tokens=[500] * 4, output_tokens=[800, 800, 10, 10])
    found = _run(load, _Plan(lambda now_s: 2 if now_s < 5 else 1), replicas_at_start=2)
    assert (found.attained, found.spilled) == (4, 0)
    assert found.gpu_usd == pytest.approx(2 * 0.01 * 8.5, rel=0.1)


def test_without_replicas_requests_go_out_or_wait_for_the_first() -> None:
    """The valve spills; without one they are held until a replica is ready, and lost if there never is one."""
    load = _load(10, 1.0)
    never = _Plan(lambda _: 0)
    assert _run(load, never, replicas_at_start=0).spilled == 10
    held = _run(load, _Plan(lambda now_s: int(now_s >= 5)), replicas_at_start=0, gateway="none")
    assert (held.lost, held.late > 3) == (0, True)
    assert _run(load, never, replicas_at_start=0, gateway="none").lost == 10


def test_bounds_of_the_pool_hold_against_any_wish() -> None:
    """Never more than the maximum, never fewer than the minimum."""
    limits = replace(ECONOMICS, min_replicas=2, max_replicas=3)
    plan = _Plan(lambda now_s: 100 if now_s < 30 else 0)
    assert _run(_load(80, 1.0), plan, economics=limits).peak_replicas == 3
    assert {seen.ready + seen.starting for now_s, seen in plan.seen if now_s > 40} == {2}


def test_policies_see_gauges_of_the_last_scrape() -> None:
    """At 20 s what was true at 15 s: rates of that window, gauges of that moment, means of its requests."""
    plan = _Plan(lambda _: 1)
    _run(_load(120, 2.0), plan)
    seen = dict(plan.seen)
    assert seen[10.0].ttft_p95_s is None
    assert seen[10.0].input_tokens_mean == 500
    assert seen[15.0] == seen[20.0] == seen[25.0] != seen[30.0]
    assert seen[20.0].arrivals_per_s == pytest.approx(2.0, abs=0.1)
    assert seen[20.0].demand_replicas == pytest.approx(1.0, abs=0.05)
    assert seen[20.0].ttft_p95_s == pytest.approx(0.065, abs=0.02)
    assert seen[20.0].tpot_mean_s == pytest.approx(0.0115, abs=0.003)
    assert seen[20.0].per_replica == ((seen[20.0].running, 0.0, seen[20.0].kv_usage_ratio),)
    quiet = _Plan(lambda _: 0)
    _run(FleetRequests(arrival_s=[0.0, 60.0], input_tokens=[9, 9], output_tokens=[9, 0]), quiet)
    assert dict(quiet.seen)[50.0].arrivals_per_s == 0.0
    assert dict(quiet.seen)[50.0].kv_usage_ratio == 0.0


def test_shared_prefixes_are_found_in_the_cache() -> None:
    """The same long prompt again and again: with its block hashes it takes less time."""
    load = _load(100, 10.0, input_tokens=2000, output_tokens=2)
    shared = replace(load, prefixes=[tuple(range(125))] * 100)
    assert _run(shared, gateway="none").attained > 2 * _run(load, gateway="none").attained


def test_the_seed_alone_makes_chance() -> None:
    """Cold starts and providers' answers vary with it, and with nothing else."""
    load, plan = _load(300, 12.0), _Plan(lambda now_s: 1 + int(now_s // 10) % 3)
    setup = replace(SETUP, cold_start_cv=0.5)
    first, again, other = (simulate_fleet(load, plan, setup, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != replace(other, seed=1)


def test_providers_refuse_over_their_rate_and_while_they_are_out() -> None:
    """60 a minute: ten at once, then one a second; the next provider is asked; p99 of TTFT is thrice the median."""
    capped = replace(PROVIDER, requests_per_min=60.0, outages=((50.0, 60.0),))
    providers = ExternalProviders((capped,), np.random.default_rng(1))
    assert [providers.answer(0.0, 1, 1) is not None for _ in range(12)] == [True] * 10 + [False] * 2
    assert providers.refusals == 2
    assert providers.answer(1.5, 1, 1) is not None
    assert providers.answer(1.6, 1, 1) is None
    assert providers.answer(55.0, 1, 1) is None
    both = ExternalProviders((capped, PROVIDER), np.random.default_rng(1))
    answers = [both.answer(55.0, 100, 100) for _ in range(4000)]
    ttft_s = [answer.ttft_s for answer in answers if answer is not None]
    assert len(ttft_s) == 4000
    assert np.percentile(ttft_s, 99) / np.median(ttft_s) == pytest.approx(3.0, rel=0.2)


def test_the_least_busy_replica_is_chosen_and_never_a_draining_one() -> None:
    """By predicted wait; a pool whose replicas all wait for ever still has one to name."""
    fleet = SimulatedFleet(STEPS, ENGINE, TypicalRequest(input_tokens=500, output_tokens=50), 0.01, 3)
    fleet.send(0, 0.0, 0, (500, 50))
    fleet.send(1, 0.0, 1, (500, 50))
    assert fleet.least_busy() == 2
    fleet.want(2, 0.0, lambda: 1.0)
    assert len(fleet.live) == 2
    fleet.want(1, 0.0, lambda: 1.0)
    fleet.send(1, 0.0, 2, (500, 50))
    assert fleet.least_busy() == 1
    fleet.want(0, 0.0, lambda: 1.0)
    assert fleet.least_busy() is None
    giant = SimulatedFleet(STEPS, ENGINE, TypicalRequest(input_tokens=10_000, output_tokens=50), 0.01, 1)
    assert giant.least_busy() == 0


@pytest.mark.parametrize(
    ("load", "changes", "words"),
    [
        (FleetRequests(arrival_s=[], input_tokens=[], output_tokens=[]), {}, "no requests"),
        (FleetRequests(arrival_s=[0.0], input_tokens=[1, 2], output_tokens=[1]), {}, "as long as arrival_s"),
        (FleetRequests(arrival_s=[1.0, 0.0], input_tokens=[1, 1], output_tokens=[1, 1]), {}, "in order"),
        (FleetRequests(arrival_s=[math.nan], input_tokens=[1], output_tokens=[1]), {}, "finite"),
        (FleetRequests(arrival_s=[0.0], input_tokens=[4096], output_tokens=[1]), {}, "4097 tokens"),
        (_load(1, 1.0), {"gateway": "open"}, "valve, naive, none"),
    ],
    ids=["empty", "lengths", "order", "nan", "too long", "gateway"],
)
def test_what_cannot_be_played_is_refused(load: FleetRequests, changes: dict[str, object], words: str) -> None:
    """With the value and what is allowed."""
    with pytest.raises(SimulationError, match=words):
        _run(load, **changes)
