"""One run of one policy, to be read: figures beside the optimum, and every change of the replica count with its reason.

Called by `spillway simulate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from controller.core.errors import SimulationError
from controller.replay.contest import best_schedule
from controller.replay.fluid import FluidRun, simulate
from controller.replay.oracle import Optimum
from controller.replay.simulation_types import Autoscaler, Curve, Economics, Outcome, Seen, Series, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A change of what the policy wants."""

    at_s: float
    replicas_from: int
    replicas_to: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A run, the least that the same requests could have cost, and why replicas came and went."""

    outcome: Outcome
    series: Series
    best: Optimum
    decisions: tuple[Decision, ...]
    by_mode: bool = False  # whether the gateway has a mode of spilling, whose changes are counted

    @property
    def usd_ratio(self) -> float | None:
        """Cost by that of the optimum; None where the optimum costs nothing."""
        return self.outcome.usd / self.best.usd if self.best.usd else None


class Listener:
    """The policy, with every change of its wish written down."""

    def __init__(self, policy: Autoscaler, ran: Callable[[float], None] | None = None) -> None:
        self.name = policy.name
        self.period_s = policy.period_s
        self.decisions: list[Decision] = []
        self._policy, self._ran = policy, ran
        self._wanted: int | None = None

    def step(self, seen: Seen, now_s: float) -> Wish:
        """What the policy wants."""
        if self._ran is not None:
            self._ran(now_s)
        wish = self._policy.step(seen, now_s)
        before = seen.ready + seen.starting if self._wanted is None else self._wanted
        if wish.replicas != before:
            self.decisions.append(
                Decision(at_s=now_s, replicas_from=before, replicas_to=wish.replicas, reason=wish.reason)
            )
        self._wanted = wish.replicas
        return wish


def told_run(
    curve: Curve,
    economics: Economics,
    policy: Autoscaler,
    *,
    seed: int,
    run: FluidRun,
    ran: Callable[[float], None] | None = None,
) -> Told:
    """Runs it once, with its series; the optimum meets the same requests. `ran` is told how many seconds are over."""
    listener = Listener(policy, ran)
    outcome = simulate(curve, economics, listener, seed=seed, run=run)
    if outcome.series is None:
        raise SimulationError("keep_series is false; it must be true to tell a run")
    best = best_schedule(curve, 0, economics, seed, noise=run.noise)
    return Told(
        outcome=outcome,
        series=outcome.series,
        best=best,
        decisions=tuple(listener.decisions),
        by_mode=run.gateway == "mode",
    )


def run_rows(told: Told) -> list[tuple[str, str, str]]:
    """Name, of the policy, of the optimum."""
    outcome, best = told.outcome, told.best
    ratio = "-" if told.usd_ratio is None else f"{told.usd_ratio:.3f}"
    best_attained = 1 - best.unserved / best.offered if best.offered else 1.0
    return [
        ("cost, USD", f"{outcome.usd:,.2f}", f"{best.usd:,.2f}"),
        ("  replicas", f"{outcome.gpu_usd:,.2f}", f"{best.running_usd + best.start_usd:,.2f}"),
        ("  spilled", f"{outcome.spill_usd:,.2f}", f"{best.spill_usd:,.2f}"),
        ("USD per 1k requests", f"{outcome.usd_per_1k:.4g}", f"{best.usd_per_1k:.4g}"),
        ("times the optimum", ratio, "1.000"),
        ("requests", f"{outcome.offered:,.0f}", f"{best.offered:,.0f}"),
        ("within the SLO, %", _percent(outcome.attained_ratio), _percent(best_attained)),
        ("spilled, %", _share(outcome.spilled, outcome.offered), _share(best.spilled, best.offered)),
        ("  of these while a replica had room, %", _percent(outcome.regret_ratio), _percent(0.0)),
        ("late, %", _share(outcome.late, outcome.offered), _percent(0.0)),
        ("lost, %", _share(outcome.lost, outcome.offered), _share(best.unserved, best.offered)),
        ("most replicas ready", str(outcome.peak_replicas), str(int(best.replicas.max()))),
        ("replica changes per hour", f"{outcome.actions_per_hour:.1f}", "-"),
        (
            "changes of spill mode per hour" if told.by_mode else "spilling begun or ended, per hour",
            f"{outcome.flips_per_hour:.1f}",
            "-",
        ),
    ]


TIMELINE_COLUMNS = ("from", "demand, replicas", "ready", "paid", "spilled/s", "late or lost/s")


def timeline_rows(series: Series, economics: Economics, most: int = 24) -> list[tuple[str, ...]]:
    """What a timeline shows, as means over so many stretches of equal length at most; as `TIMELINE_COLUMNS`."""
    slots = len(series.times_s)
    step = math.ceil(slots / most)
    missed = series.missed_per_s or (0.0,) * slots
    rows: list[tuple[str, ...]] = []
    for first in range(0, slots, step):
        part = slice(first, first + step)
        ready = fmean(series.ready[part])
        rows.append(
            (
                _clock(series.times_s[first]),
                f"{fmean(series.demand_per_s[part]) / economics.replica_requests_per_s:.2f}",
                f"{ready:.2f}",
                f"{ready + fmean(series.starting[part]):.2f}",
                f"{fmean(series.spilled_per_s[part]):.2f}",
                f"{fmean(missed[part]):.2f}",
            )
        )
    return rows


RUN_TERMS = (
    ("optimum", "the cheapest that anyone could have done who knew all requests beforehand; it knows no queue"),
    ("spilled", "requests answered by an external provider, paid for by the token"),
    ("of these while a replica had room, %", "spilled although it was not needed, of what was spilled"),
    ("within the SLO, %", "first token within the pool's SLO, from a replica or a provider"),
    ("late, lost", "answered after that time; never answered, as the queue was full"),
    ("changes of spill mode", "between keeping all at home and sending a share away; beside it a gateway may send "
     "away single requests that find no place"),
    ("paid", "replicas ready or starting: a replica costs from its order on"),
    ("demand, in replicas", "requests per second divided by what one replica does within its SLO"),
)  # fmt: skip


def decision_rows(decisions: Sequence[Decision], most: int) -> list[tuple[str, ...]]:
    """When, from, to, why: the last so many."""
    shown = decisions[-most:] if most else ()
    return [(_clock(one.at_s), str(one.replicas_from), str(one.replicas_to), one.reason) for one in shown]


def run_verdict(told: Told) -> str:
    """The run in a sentence."""
    outcome = told.outcome
    ratio = "the optimum is free" if told.usd_ratio is None else f"{told.usd_ratio:.3f} times the optimum"
    return (
        f"{outcome.policy} on {outcome.workload}: {outcome.usd:,.2f} USD, {ratio}; "
        f"{_percent(outcome.attained_ratio)} % of requests within their SLO, "
        f"{_share(outcome.spilled, outcome.offered)} % spilled."
    )


def _clock(at_s: float) -> str:
    days, rest = divmod(math.floor(at_s), 86_400)
    return f"{days}d {rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.2f}"


def _share(part: float, whole: float) -> str:
    return _percent(part / whole if whole else 0.0)
