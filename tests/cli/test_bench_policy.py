"""`spillway bench policy`: runs over processes, reports in every form, and refuses before it works."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from published import run as run_command
from typer.testing import Result

from controller.cli import bench, bench_requests, report_extra
from controller.cli.bench_policy import QUICK_WORKLOADS, Plan, _done, _progress, _workers, run
from controller.cli.bench_policy_report import tell, write_html, write_json, write_plots
from controller.cli.errors import EXIT_USAGE, CliError
from controller.cli.output import words
from controller.replay.contest_requests import FORMS
from controller.replay.workloads import WORKLOADS

TINY = Plan(
    known=("aibrix-8min",), workloads=("aibrix-8min",), pools=("8b-a100",), prices=("frontier",), sizes=(4,),
    values=1, seeds=2,
)  # fmt: skip


def called(*arguments: str) -> Result:
    """One call."""
    return run_command(bench.register, "bench", "policy", *arguments)


def test_a_whole_bench_in_two_processes_and_all_its_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every policy is judged with both seeds; table, JSON, page and plots say the same verdict."""
    results, interrupted = run(TINY, 2, tmp_path / "kept")
    assert not interrupted
    (result,) = results
    capsys.readouterr()
    assert run(TINY, 2, tmp_path / "kept") == (results, False)
    assert "bench: 0 runs in 2 processes" in capsys.readouterr().err
    assert all(len(final.scores) == 2 for final in result.finals)
    tell(results)
    verdict = capsys.readouterr().out.splitlines()[0]
    assert "spillway" in verdict
    write_json(tmp_path / "a.json", results, TINY)
    data = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["data"]
    assert data["verdict"] == verdict
    assert data["courses"][0]["finals"][0]["point"]["policy"] == "spillway"
    write_html(tmp_path / "a.html", results, TINY)
    assert (tmp_path / "a.html").read_text(encoding="utf-8").count("data:image/png") == 2
    write_plots(tmp_path / "plots", results, TINY)
    names = sorted(file.name for file in (tmp_path / "plots").iterdir())
    assert names == [f"aibrix-8min-8b-a100-frontier-x4-{kind}.png" for kind in ("attainment", "timeline")]


def test_who_sees_no_bar_is_told_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """In lines of their own, no bar and no blank line among them."""
    words.cache_clear()
    with _progress() as bar:
        assert _done(bar) == ""
        task = bar.add_task("runs", total=20)
        bar.update(task, advance=12, total=40)
        assert _done(bar) == "12 of 40 runs"
    assert capsys.readouterr().err == ""


def test_who_ends_it_early_is_told_what_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """At once; the interrupt goes on."""
    words.cache_clear()
    with pytest.raises(KeyboardInterrupt), _workers(TINY, 1):
        raise KeyboardInterrupt
    assert capsys.readouterr().err.startswith("bench: stopping: the runs under way are let finish")


def test_stretches_request_by_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every form beside the optimum's own schedule with every seed, as table and JSON, the verdict first."""
    stretch = bench_requests.Stretch(
        workload="az23-conv", pool="70b-4xa100", replicas=2, hours=0.05, requests_most=200, seed=1
    )
    planned, keep = ((stretch, replace(stretch, seed=2)),), tmp_path / "kept"
    results, interrupted = bench_requests.run(planned, 1, keep)
    assert not interrupted
    head, first, second = keep.read_text(encoding="utf-8").splitlines(keepends=True)
    keep.write_text(head + first + second[:100], encoding="utf-8")
    capsys.readouterr()
    assert bench_requests.run(planned, 1, keep) == (results, False)
    assert "seed 1" not in capsys.readouterr().err
    bench_requests.tell(results)
    verdict, _, _, title, columns, *rows = capsys.readouterr().out.splitlines()
    assert "spillway" in verdict
    assert title == "az23-conv 70b-4xa100 frontier x2: 200 requests in 0.0 h"
    assert columns.startswith("policy")
    assert len(rows) == 1 + len(FORMS)
    assert rows[0].startswith("O_replay")
    assert "+ naive spill" in "".join(rows)
    bench_requests.write_json(tmp_path / "a.json", results)
    data = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["data"]
    assert data["verdict"] == verdict
    (told,) = data["stretches"]
    assert told["name"] == "az23-conv 70b-4xa100 frontier x2"
    assert [one["seed"] for one in told["seeds"]] == [1, 2]
    assert [row["point"]["policy"] for row in told["seeds"][0]["rows"][:2]] == ["O_replay", "spillway"]


def test_which_stretches_there_are() -> None:
    """Both pools in both sizes but for what is too busy; the quick ones are a part of the whole."""
    whole = bench_requests.stretches((), hours=1.0, quick=False)
    quick = bench_requests.stretches((), hours=1.0, quick=True)
    assert len(whole) == 4 * len(bench_requests.WORKLOADS) - len(bench_requests.TOO_BUSY)
    assert {len(seeds) for seeds in whole} == {5}
    assert {len(seeds) for seeds in quick} == {2}
    assert {seeds[0].workload for seeds in quick} <= {seeds[0].workload for seeds in whole} <= set(WORKLOADS)
    (named,) = bench_requests.stretches(("ramp",), hours=1.0, quick=True, seeds=3)
    assert [(one.workload, one.seed) for one in named] == [("ramp", 1), ("ramp", 2), ("ramp", 3)]


def test_nothing_whole_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    """After a Ctrl-C in the first seconds."""
    tell(())
    bench_requests.tell(())
    assert capsys.readouterr().out.count("Nothing was run to its end") == 2


def test_plans() -> None:
    """The whole has both pools and sizes; the quick one is a part of it; both can be narrowed."""
    whole, quick = Plan.whole(), Plan.quick_one()
    assert (whole.pools, whole.sizes, whole.seeds) == (("8b-a100", "70b-4xa100"), (20, 4), 5)
    assert set(whole.workloads) == set(WORKLOADS)
    assert WORKLOADS[whole.workloads[-1]].kind == "diurnal"
    assert set(QUICK_WORKLOADS) <= set(WORKLOADS)
    assert quick.workloads == QUICK_WORKLOADS
    narrowed = whole.narrowed(("ramp",), 3)
    assert (narrowed.workloads, narrowed.seeds) == (("ramp",), 3)
    assert whole.narrowed((), None) == whole


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--workload", "nope"), "no workload 'nope': workloads are"),
        (("--requests", "--plots", "."), "--requests has no --plots: it can write --json"),
        (("--json", "no/such/folder/a.json"), "cannot write no/such/folder/a.json: there is no folder"),
    ],
    ids=["workload", "form", "folder"],
)
def test_what_cannot_be_is_refused_before_anything_is_run(arguments: tuple[str, ...], says: str) -> None:
    """One line each."""
    error = called(*arguments).exception
    assert isinstance(error, CliError)
    assert error.exit_code == EXIT_USAGE
    assert says in f"{error.what}: {error.why}"


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback of an import."""
    monkeypatch.setattr(report_extra, "LIBRARIES", ("numpy", "no_such_library"))
    error = called().exception
    assert isinstance(error, CliError)
    assert (error.why, error.fix) == ("no_such_library not installed", "make env, or: pip install 'spillway[report]'")
