"""`spillway simulate`: one policy on one workload, shipped or the user's own, at the user's own prices."""

from __future__ import annotations

import math
from pathlib import Path

import typer

from controller.cli.errors import EXIT_USAGE, CliError

EPILOG = (
    "Examples: spillway simulate az24-conv-week    "
    "spillway simulate mine.csv --pool 70b-4xa100 --replicas 8 --html my.html    "
    "spillway simulate step5x --policy hpa-rate --gateway naive --knob 0.9    "
    "spillway simulate az24-code-week --replica-usd-per-hour 2.10 --spill-usd-per-1k 0.45 --json"
)
MOST = 1e6  # of a price, a rate, a time
REPLICAS_MOST = 1000
GATEWAYS = ("valve", "mode", "naive", "none")


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `simulate`."""
    app.command("simulate", epilog=EPILOG)(simulate)


def simulate(
    *,
    workload: str = typer.Argument("az24-conv-week", help="a workload that ships, or a trace file of your own"),
    policy: str = typer.Option("spillway", help="spillway, or an autoscaler such as hpa-rate, keda-queue, mark"),
    knob: float | None = typer.Option(None, help="the policy's main knob [default: its own]"),
    gateway: str | None = typer.Option(
        None, help="what spills by itself: mode (production's) | valve | naive | none [default: the policy's]"
    ),
    pool: str = typer.Option(
        "8b-a100", help="model and GPU, for capacity and cold start: 8b-a100 | 70b-4xa100 | 8b-l4"
    ),
    prices: str = typer.Option("frontier", help="what spilling costs to begin with: frontier | same-weights"),
    replicas: int | None = typer.Option(
        None, min=1, max=1000, help="scale demand so that its busy moments need so many [default: 20; a file: as it is]"
    ),
    replica_usd_per_hour: float | None = typer.Option(None, help="what a replica costs"),
    spill_usd_per_1k: float | None = typer.Option(None, help="what 1,000 spilled requests cost; inf: may not spill"),
    replica_requests_per_s: float | None = typer.Option(None, help="what a replica does at its SLO"),
    cold_start_s: float | None = typer.Option(None, help="from order to ready"),
    min_replicas: int | None = typer.Option(None, help="never fewer"),
    max_replicas: int | None = typer.Option(None, help="never more [default: twice what busy moments need]"),
    seed: int = typer.Option(1, min=0, help="of the arrivals"),
    decisions: int = typer.Option(0, min=0, help="show the last N changes of the replica count, with their reasons"),
    plot: Path | None = typer.Option(None, help="write a timeline as PNG"),
    html: Path | None = typer.Option(None, help="write figures, timeline and decisions as one page, without network"),
    as_json: bool = typer.Option(False, "--json", help="one JSON document on stdout"),
) -> None:
    """What a policy would have cost and attained on a workload, beside the clairvoyant optimum.

    Workloads that ship: az24-code-week, az24-conv-week, sg-small-2w (recorded weeks); az23-code-burst, az23-conv,
    mooncake-synthetic, aibrix-8min (minutes to an hour); step2x, step5x, ramp, spike-10x-60s, square-wave, zero-to-n.
    `spillway bench policy` has what every policy does on them.

    Trace files as they are published: Azure 2023/2024, BurstGPT, Mooncake, ServeGen; or CSV with the columns
    arrival_ms,input_tokens,output_tokens, or t_s,rate_rps. Plain or gzip.
    """
    from controller.cli.output import told_while
    from controller.cli.report_extra import need_place, need_report_extra

    need_report_extra()
    for file in (plot, html):
        need_place(file)
    if gateway is not None and gateway not in GATEWAYS:
        raise _bad("--gateway", gateway, "one of " + ", ".join(GATEWAYS))
    _need("--knob", knob, above=0.0)
    _need("--replica-usd-per-hour", replica_usd_per_hour)
    _need("--spill-usd-per-1k", spill_usd_per_1k, or_inf=True)
    _need("--replica-requests-per-s", replica_requests_per_s, above=0.0)
    _need("--cold-start-s", cold_start_s)
    _need_bounds(min_replicas, max_replicas)
    given = {
        "replica_usd_per_s": None if replica_usd_per_hour is None else replica_usd_per_hour / 3600,
        "spill_usd_per_request": None if spill_usd_per_1k is None else spill_usd_per_1k / 1000,
        "replica_requests_per_s": replica_requests_per_s,
        "cold_start_s": cold_start_s,
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
    }
    doing = _Doing(workload)
    with told_while("simulate", doing.words):
        from controller.cli.simulate_report import settle, tell, told_of

        settled = settle(workload, policy, pool, prices, gateway=gateway, knob=knob, replicas=replicas, given=given)
        told = told_of(settled, seed=seed, ran=doing.ran)
        doing.writes()
        tell(settled, told, decisions=decisions, plot=plot, html=html, as_json=as_json)


class _Doing:
    """What is going on, for who waits."""

    def __init__(self, workload: str) -> None:
        self._workload = workload
        self._text = f"reading {workload}"

    def ran(self, share: float) -> None:
        """So much of the run is over."""
        self._text = f"{self._workload}, {100 * share:.0f} % run"

    def writes(self) -> None:
        """Only the figures are still to be told and drawn."""
        self._text = f"{self._workload}, run and compared; telling it"

    def words(self) -> str:
        """In words."""
        return self._text


def _need(
    option: str, value: float | None, *, above: float | None = None, most: float = MOST, or_inf: bool = False
) -> None:
    """Refuse a number that is not from 0 (or above that) to `most`."""
    if value is None or (or_inf and value == math.inf):
        return
    if not (value >= 0 if above is None else value > above) or not value <= most:
        least = "from 0" if above is None else f"above {above:g}"
        raise _bad(option, f"{value:g}", f"a number {least} to {most:,.0f}{' or inf' if or_inf else ''}")


def _need_bounds(least: int | None, most: int | None) -> None:
    """Refuse bounds that no pool can have."""
    _need("--min-replicas", least, most=REPLICAS_MOST)
    _need("--max-replicas", most, most=REPLICAS_MOST)
    if least is not None and most is not None and most < least:
        raise _bad("--max-replicas", str(most), f"at least --min-replicas, {least}")


def _bad(option: str, value: str, allowed: str) -> CliError:
    return CliError(f"{option} is {value}", f"it must be {allowed}", exit_code=EXIT_USAGE)
