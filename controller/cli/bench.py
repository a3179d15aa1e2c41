"""`spillway bench`: what can be measured and proven on this machine; `policy` is the autoscaling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.errors import EXIT_INTERRUPTED, EXIT_USAGE, CliError

if TYPE_CHECKING:
    from controller.cli.bench_requests import Stretch

EPILOG = (
    "Examples: spillway bench policy --quick    spillway bench policy --html policies.html    "
    "spillway bench policy --workload az24-conv-week --json out.json    "
    "spillway bench policy --requests --workload az23-conv"
)
SEEDS_MOST = 10


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `bench`."""
    bench = typer.Typer(help="Measure policies against the optimum.", no_args_is_help=True)
    bench.callback()(lambda: None)
    bench.command("policy", epilog=EPILOG)(policy)
    app.add_typer(bench, name="bench")


def policy(
    *,
    quick: bool = typer.Option(
        False, "--quick", help="few workloads, one pool of one size, two seeds: two minutes of CPU"
    ),
    workload: list[str] | None = typer.Option(None, help="only this workload; may be repeated [default: all]"),
    seeds: int | None = typer.Option(
        None, min=2, max=SEEDS_MOST, help="judged with so many seeds [default: 5, quick 2]"
    ),
    processes: int = typer.Option(2, min=1, max=64, help="run on so many cores"),
    requests: bool = typer.Option(
        False, "--requests", help="request by request on short stretches, beside the optimum's own schedule replayed so"
    ),
    hours: float = typer.Option(6.0, min=0.1, max=24.0, help="with --requests: of each stretch, at most"),
    keep: Path | None = typer.Option(
        None, help="keep here what is whole as it comes, and go on from what an ended bench of the same kind has kept"
    ),
    json_file: Path | None = typer.Option(None, "--json", help="write all scores as JSON"),
    html_file: Path | None = typer.Option(None, "--html", help="write tables and plots as one page, without network"),
    plot_dir: Path | None = typer.Option(None, "--plots", help="write the plots as PNG into this folder"),
) -> None:
    """Every autoscaler over every workload, each tuned alike, beside the clairvoyant optimum.

    Ctrl-C ends it early: what is whole by then is reported, with exit code 130. Takes 24 minutes of
    CPU, most of it for weeks. With --requests policies run with one knob each, and each request meets the
    batches of engine models; that takes 32 minutes of CPU.
    """
    from controller.cli.output import say, told_while
    from controller.cli.report_extra import need_place, need_report_extra

    need_report_extra()
    for file in (keep, json_file, html_file):
        need_place(file)
    need_place(plot_dir, is_folder=True)
    if requests:
        for option, given in (("--html", html_file), ("--plots", plot_dir)):
            if given is not None:
                raise CliError(f"--requests has no {option}", "it can write --json", exit_code=EXIT_USAGE)
        from controller.cli.bench_requests import stretches
        from controller.replay.workloads import WORKLOADS

        names = _known(workload or (), tuple(WORKLOADS))
        _by_requests(stretches(names, hours=hours, quick=quick, seeds=seeds), processes, keep, json_file)
        return
    with told_while("bench", "getting ready"):
        from controller.cli.bench_policy import Plan, run
        from controller.cli.bench_policy_report import tell, write_html, write_json, write_plots

    plan = Plan.quick_one() if quick else Plan.whole()
    plan = plan.narrowed(_known(workload or (), plan.known), seeds)
    results, interrupted = run(plan, processes, keep)
    tell(results)
    if json_file:
        write_json(json_file, results, plan)
    if html_file:
        write_html(html_file, results, plan)
    if plot_dir:
        write_plots(plot_dir, results, plan)
    if interrupted:
        say("bench", f"ended early: {len(results)} of {len(plan.courses())} courses are whole")
        raise typer.Exit(EXIT_INTERRUPTED)


def _by_requests(
    planned: Sequence[Sequence[Stretch]], processes: int, keep: Path | None, json_file: Path | None
) -> None:
    from controller.cli.bench_requests import run, tell, write_json

    results, interrupted = run(planned, processes, keep)
    tell(results)
    if json_file:
        write_json(json_file, results)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def _known(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise CliError(f"no workload '{name}'", "workloads are " + ", ".join(known), exit_code=EXIT_USAGE)
    return tuple(names)
