"""Each promise of the demo is judged from figures, and fails when the figures say so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.adapters.local_http import Answer
from controller.cli.demo_story import PoolHistory
from controller.cli.demo_verdict import Evidence, judge, summed
from controller.cli.traffic import Played
from controller.core.money import Usage
from tests.adapters.ledger_values import ENTRY

NAMES = (
    "no request lost or answered twice",
    "ledger equals the servers' own counts",
    "in-flight counters back to 0",
    "a pool spilled, grew, un-spilled and shrank",
    "no stream cut by a scale-down",
)


def _played(number: int, **changes: object) -> Played:
    fields: dict[str, object] = {
        "status": 200, "ttft_s": 0.1, "e2e_s": 0.5, "complete": True, "input_tokens": 100, "output_tokens": 20,
        "headers": {"x-request-id": f"r-{number}"}, "error": None,
    }  # fmt: skip
    return Played(sent_after_s=0.0, ended_after_s=1.0, answer=Answer(**{**fields, **changes}))  # type: ignore[arg-type]


def _entry(number: int):  # type: ignore[no-untyped-def]
    usage = Usage(input_tokens=100, output_tokens=20, cached_input_tokens=60)
    return replace(ENTRY, request_id=f"r-{number}", model_id="m", usage=usage, cost_nanousd=5)


HISTORY = PoolHistory(
    ready_at_start=1, ready_most=3, spilling_at_s=2.0, local_again_at_s=9.0, warming_seen_by_router=True,
    drained={"b": 2}, gone={"b"}, shrunk_at_s=12.0,
)  # fmt: skip
TALLY = {
    "requests": 2, "input_tokens": 200, "cached_input_tokens": 120, "output_tokens": 40, "cost_nanousd": 10, "cut": 0,
}  # fmt: skip
GOOD = Evidence(
    played=(_played(1), _played(2)),
    entries=(_entry(1), _entry(2)),
    servers={"m": TALLY},
    in_flight={"gateway": 0.0, "p": 0.0},
    spilled={"p": 1},
    pools={"p": HISTORY},
)


def test_good_figures_pass_every_check() -> None:
    """All five, in order, each with its figures."""
    checks = judge(GOOD)
    assert tuple(check.name for check in checks) == NAMES
    assert all(check.passed and check.figures for check in checks)


@pytest.mark.parametrize(
    ("evidence", "failed"),
    [
        (replace(GOOD, played=(_played(1), _played(2, complete=False, status=429))), {0}),
        (replace(GOOD, played=(_played(1), _played(2, complete=False))), {0, 4}),
        (replace(GOOD, played=(_played(1), _played(2, headers={}))), {0}),
        (replace(GOOD, entries=(_entry(1),)), {0, 1}),
        (replace(GOOD, entries=(_entry(1), _entry(2), _entry(2))), {0, 1}),
        (replace(GOOD, servers={"m": {**TALLY, "requests": 3}}), {0, 1}),
        (replace(GOOD, servers={"m": {**TALLY, "output_tokens": 41}}), {1}),
        (replace(GOOD, servers={"m": {**TALLY, "cost_nanousd": 11}}), {1}),
        (replace(GOOD, servers={"m": TALLY, "n": {**TALLY, "requests": 0}}), {1}),
        (replace(GOOD, in_flight={"gateway": 1.0}), {2}),
        (replace(GOOD, in_flight={}), {2}),
        (replace(GOOD, spilled={}), {3}),
        (replace(GOOD, pools={"p": replace(HISTORY, ready_most=1)}), {3}),
        (replace(GOOD, pools={"p": replace(HISTORY, local_again_at_s=None)}), {3}),
        (replace(GOOD, pools={"p": replace(HISTORY, warming_seen_by_router=False)}), {3}),
        (replace(GOOD, pools={"p": replace(HISTORY, shrunk_at_s=None)}), {3}),
        (replace(GOOD, pools={"p": replace(HISTORY, drained={})}), {4}),
        (replace(GOOD, pools={"p": replace(HISTORY, gone=set())}), {4}),
        (replace(GOOD, servers={"m": {**TALLY, "cut": 1}}), {4}),
    ],
    ids=[
        "refused", "cut stream", "no id", "row missing", "row twice", "answered twice", "token off", "cost off",
        "unknown model", "in flight", "no counters", "never spilled", "never grew", "never back", "router blind",
        "never shrank", "nothing drained", "drain not over", "cut at the engine",
    ],
)  # fmt: skip
def test_wrong_figures_fail_the_check_they_belong_to(evidence: Evidence, failed: set[int]) -> None:
    """Exactly the checks that the figure belongs to fail."""
    assert {number for number, check in enumerate(judge(evidence)) if not check.passed} == failed


def test_tallies_of_several_servers_add_up() -> None:
    """Replicas of one model are summed by model id."""
    assert summed([{"m": {"requests": 1, "cut": 0}}, {"m": {"requests": 2, "cut": 1}, "n": {"requests": 5}}]) == {
        "m": {"requests": 3, "cut": 1},
        "n": {"requests": 5},
    }
