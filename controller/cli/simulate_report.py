"""One simulated run from its options to its figures: table, JSON, PNG, page. Called by `simulate`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from controller.cli.errors import EXIT_USAGE, CliError
from controller.cli.output import console, emit_json, plain, say, table
from controller.core.errors import SimulationError, TraceError
from controller.core.pools import EngineArgs
from controller.replay.baselines.fluid_facts import fluid_facts
from controller.replay.contest_field import BOUND_RATIO, OURS, entrant
from controller.replay.contest_types import Entrant
from controller.replay.fluid import FluidRun
from controller.replay.fluid_pool import ReplicaShape
from controller.replay.report_page import Folded, Section, page
from controller.replay.report_run import (
    RUN_TERMS,
    TIMELINE_COLUMNS,
    Told,
    decision_rows,
    run_rows,
    run_verdict,
    timeline_rows,
    told_run,
)
from controller.replay.simulation_types import Curve, Economics
from controller.replay.trace_files import read_trace_file
from controller.replay.trace_files_types import RequestTrace
from controller.replay.workloads import WORKLOADS, published_curve
from controller.replay.workloads_curves import busy_rate_per_s, curve_of, scaled_to
from controller.replay.workloads_economics import economics_of, pool_kind, replica_shape, sizes_on

SHIPPED_REPLICAS = 20  # shipped workloads have no size of their own
SIZED_AS = "az23-conv"  # requests of a file that says only how many came
DECISION_COLUMNS = ("at", "from", "to", "reason")
PAGE_DECISIONS = 500
REPLICAS_MOST = 1000
BELOW_ONE = "the optimum knows no queue; a gateway that lets requests wait a second can come out a little below it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is asked of the pool, before it is scaled. `noise`: chance is to be added, as a file's requests have it."""

    curve: Callable[[float], Curve]  # for a cold start in s
    noise: bool
    input_tokens: float  # of the mean request
    output_tokens: float
    left_out: int = 0  # requests that are too long for the pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is to be run, every option filled in."""

    curve: Curve
    economics: Economics
    shape: ReplicaShape
    engine: EngineArgs
    entrant: Entrant
    gateway: str
    knob: float
    noise: bool  # a file's requests came as they came
    left_out: int


def settle(
    name: str,
    policy: str,
    pool: str,
    prices: str,
    *,
    gateway: str | None,
    knob: float | None,
    replicas: int | None,
    given: Mapping[str, float | None],
) -> Settled:
    """The run that these options ask for; CliError names the option that cannot be."""
    try:
        found, demand = entrant(policy), _demand(name, pool)
        sizes = demand.input_tokens, demand.output_tokens
        own = {field: value for field, value in given.items() if value is not None}
        economics = replace(economics_of(pool, prices, *sizes), **own)  # type: ignore[arg-type]  # counts and rates, as the options have them
        curve = demand.curve(economics.cold_start_s)
        if name in WORKLOADS or replicas is not None:
            curve = scaled_to(curve, (replicas or SHIPPED_REPLICAS) * economics.replica_requests_per_s)
        else:
            _need_size(curve, economics, pool)
        if given["max_replicas"] is None:
            economics = replace(economics, max_replicas=_bound(curve, economics))
        shape = replica_shape(pool, *sizes)
    except SimulationError as error:
        raise CliError("cannot be simulated", str(error), exit_code=EXIT_USAGE) from error
    return Settled(
        curve=curve,
        economics=economics,
        shape=shape,
        engine=pool_kind(pool).engine,
        entrant=found,
        gateway=gateway or found.gateways[-1],
        knob=found.default if knob is None else knob,
        noise=demand.noise or replicas is not None,
        left_out=demand.left_out,
    )


def told_of(settled: Settled, *, seed: int, ran: Callable[[float], None] | None = None) -> Told:
    """Runs it. `ran` is told how much of it is over, from 0 to 1."""
    curve, economics = settled.curve, settled.economics
    known = fluid_facts(economics, settled.shape, curve, engine=settled.engine)
    made = settled.entrant.make(known, settled.knob)
    how = FluidRun(
        gateway=settled.gateway,
        scrape_s=settled.entrant.scrape_s,
        keep_series=True,
        shape=settled.shape,
        noise=settled.noise,
    )
    duration_s = curve.duration_s
    share = None if ran is None else lambda now_s: ran(now_s / duration_s)
    return told_run(curve, economics, made, seed=seed, run=how, ran=share)


def tell(settled: Settled, told: Told, *, decisions: int, plot: Path | None, html: Path | None, as_json: bool) -> None:
    """Says what came of it in every way that was asked for."""
    for label, text in remarks(settled, told):
        say(label, text)
    if as_json:
        emit_json("simulate", document(settled, told))
    else:
        _print(settled, told, decisions)
    if plot:
        plot.write_bytes(_timeline(settled, told))
        say("wrote", str(plot))
    if html:
        html.write_text(_page(settled, told), encoding="utf-8")
        say("wrote", str(html))


def remarks(settled: Settled, told: Told) -> list[tuple[str, str]]:
    """What a reader of the figures must know, each with the word that leads it."""
    found = []
    if settled.left_out:
        limit = settled.engine.max_model_len_tokens
        found.append(("note", f"{settled.left_out} requests are left out: longer than the pool's {limit} tokens"))
    if (
        settled.gateway == "none"
        and settled.entrant.name == OURS
        and math.isfinite(settled.economics.spill_usd_per_request)
    ):
        found.append(
            ("warning", "the policy counts on spilling, the gateway never does: --spill-usd-per-1k inf says so")
        )
    if told.usd_ratio is not None and told.usd_ratio < 1:
        found.append(("note", BELOW_ONE))
    return found


def document(settled: Settled, told: Told) -> dict[str, object]:
    """The run as data, without its timeline."""
    best = told.best
    return {
        "workload": settled.curve.name,
        "left_out_requests": settled.left_out,
        "policy": settled.entrant.name,
        "gateway": settled.gateway,
        "knob": {"name": settled.entrant.knob, "value": settled.knob},
        "economics": {name: _finite(value) for name, value in _fields(settled.economics).items()},
        "outcome": plain(replace(told.outcome, series=None)),
        "usd_ratio": told.usd_ratio,
        "optimum": {"usd": best.usd, "spilled": best.spilled, "starts": best.starts, "unserved": best.unserved},
        "decisions": plain(told.decisions),
    }


def _print(settled: Settled, told: Told, decisions: int) -> None:
    table(_title(settled), ("", settled.entrant.name, "optimum"), run_rows(told))
    if decisions:
        console().print()
        table("Decisions", DECISION_COLUMNS, decision_rows(told.decisions, decisions))


def _title(settled: Settled) -> str:
    hours = settled.curve.duration_s / 3600
    return (
        f"{settled.entrant.name} ({settled.gateway}, {settled.entrant.knob} {settled.knob:g}) "
        f"on {settled.curve.name}, {hours:.1f} h"
    )


def _page(settled: Settled, told: Told) -> str:
    title = _title(settled)
    sections = [
        Section(
            title="Figures",
            text=" ".join(f"{label}: {text}." for label, text in remarks(settled, told)),
            columns=("", settled.entrant.name, "optimum"),
            rows=run_rows(told),
            plots=((f"{title}: demand, replicas, what was spilled; in figures below", _timeline(settled, told)),),
            folded=(
                Folded(
                    title="The timeline in figures",
                    columns=TIMELINE_COLUMNS,
                    rows=timeline_rows(told.series, settled.economics),
                ),
            ),
        ),
        Section(title="What the rows mean", terms=RUN_TERMS),
        Section(
            title="Decisions",
            text=f"{len(told.decisions)} changes of the replica count"
            + (f", the last {PAGE_DECISIONS} of them:" if len(told.decisions) > PAGE_DECISIONS else "."),
            columns=DECISION_COLUMNS,
            rows=decision_rows(told.decisions, PAGE_DECISIONS),
        ),
    ]
    return page(title, run_verdict(told), sections, ours="")


def _timeline(settled: Settled, told: Told) -> bytes:
    from controller.replay.report_plots import timeline_plot  # it takes half a second to load

    return timeline_plot(told.series, settled.economics, _title(settled))


def _demand(name: str, pool: str) -> Demand:
    """A shipped workload, or what a file recorded."""
    longest_tokens = pool_kind(pool).engine.max_model_len_tokens
    if name in WORKLOADS:
        sizes = sizes_on(pool, name)

        def shipped(cold_start_s: float) -> Curve:
            return published_curve(name, cold_start_s=cold_start_s, longest_tokens=longest_tokens)

        return Demand(curve=shipped, noise=True, input_tokens=sizes[0], output_tokens=sizes[1])
    file = Path(name)
    if not file.exists():
        why = "there is no such file, and the workloads that ship are " + ", ".join(WORKLOADS)
        raise CliError(f"no workload '{name}'", why, exit_code=EXIT_USAGE)
    try:
        trace = read_trace_file(file)
    except TraceError as error:
        raise CliError(f"cannot use the trace {name}", str(error), exit_code=EXIT_USAGE) from error
    left_out = 0
    if isinstance(trace, RequestTrace):
        fitting = trace.fitting(longest_tokens)
        trace, left_out = fitting, len(trace) - len(fitting)
        if not len(trace):
            why = f"none of its {left_out} requests fits the {longest_tokens} tokens that {pool} can hold"
            raise CliError(f"cannot use the trace {name}", why, exit_code=EXIT_USAGE)
    recorded = curve_of(trace, file.name)
    sizes = trace.mean_sizes() if isinstance(trace, RequestTrace) else sizes_on(pool, SIZED_AS)
    return Demand(
        curve=lambda _cold_start_s: recorded,
        noise=not isinstance(trace, RequestTrace),
        input_tokens=sizes[0],
        output_tokens=sizes[1],
        left_out=left_out,
    )


def _need_size(curve: Curve, economics: Economics, pool: str) -> None:
    """Refuse what no machine has the memory for, and nobody the replicas."""
    needed = math.ceil(busy_rate_per_s(curve) / economics.replica_requests_per_s)
    if needed > REPLICAS_MOST:
        raise SimulationError(
            f"busy moments of {curve.name} need {needed} replicas of {pool}; it must be at most {REPLICAS_MOST}: "
            "--replicas scales a file down"
        )


def _bound(curve: Curve, economics: Economics) -> int:
    """Twice what busy moments need, and the least that is asked for."""
    busy = busy_rate_per_s(curve) / economics.replica_requests_per_s
    return max(1, BOUND_RATIO * math.ceil(busy), economics.min_replicas)


def _fields(economics: Economics) -> dict[str, float]:
    return {name: getattr(economics, name) for name in economics.__dataclass_fields__}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
