"""`spillway explain pool`: what drove the last decisions, in words and numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from published import fleet, publish
from published import run as run_command
from typer.testing import Result

from controller.cli import explain
from controller.cli.errors import EXIT_USAGE, CliError
from controller.core.fleet import FleetView, Pin, ScaleTerms

TERMS = ScaleTerms(
    demand_replicas=2.7,
    replica_usd_per_s=0.001,
    spill_usd_per_replica_s=0.004,
    start_usd=0.24,
    patience_up=0.3,
    patience_down=10.0,
    off_lost_usd=0.05,
    on_lost_usd=0.0,
    least_replicas=1,
    experts=((0.3, 10.0, 1.0, 8.5), (1.0, 1.0, 0.0, 9.5), (0.3, 10.0, 0.0, 8.25)),
)


def explained(view: FleetView, terms: ScaleTerms = TERMS) -> FleetView:
    """The view whose first pool scales by what pays."""
    return replace(view, pools={**view.pools, "llama-8b": replace(view.pools["llama-8b"], terms=terms)})


def run(state_dir: Path, *arguments: str) -> Result:
    """One `spillway explain pool` on this state folder."""
    return run_command(explain.register, "explain", "pool", *arguments, "--state-dir", str(state_dir))


def test_prices_ledgers_and_patience_are_told(tmp_path: Path) -> None:
    """Who is ahead, by how much, and what it takes."""
    publish(tmp_path, explained(fleet()))
    result = run(tmp_path, "llama-8b")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "pool      llama-8b: 1 ready, 1 warming, 3 wanted"
    assert lines[1].startswith("routing   Spilling, 37 % leaves: saturated: 1.20")
    assert "scaling   demand 2.70 at target 0.95" in lines
    assert "full      120 % of what its SLO leaves for waiting, or of its KV cache" in lines
    assert "prices    $3.60 an hour for a replica, $14.40 for its work elsewhere: it pays from 25 % of use on" in lines
    assert "start     $0.24, 240 s, until a replica serves" in lines
    assert "next      replica 3 starts once buying has cost $0.072 more than having it: so far $0.05" in lines
    assert "last      replica 2 goes once having it has cost $2.4 more than buying: so far $0" in lines
    grows = "rule      grows at 0.3 and shrinks at 10 times the price of a start"
    assert lines[-1] == f"{grows}: would have spent $8.25 of late, leads"
    assert (
        lines[-2] == "rule      grows at 1 and shrinks at 1 times the price of a start: would have spent $9.5 of late"
    )
    assert lines[-3] == f"{grows}, along the trend: would have spent $8.5 of late"
    assert "demand    2.70 replicas' worth, as its SLO allows" in lines


def test_where_demand_is_going_is_told_while_it_counts(tmp_path: Path) -> None:
    """In replicas, over a cold start."""
    terms = replace(TERMS, patience_ahead=1.0, ahead_replicas=-0.42)
    publish(tmp_path, explained(fleet(), terms))
    lines = run(tmp_path, "llama-8b").stdout.splitlines()
    assert "demand    2.70 replicas' worth, as its SLO allows; -0.42 by its trend until a replica serves" in lines
    assert lines[-3].endswith("along the trend: would have spent $8.5 of late, leads")


def test_a_price_that_is_not_the_market_s_is_not_told_as_one(tmp_path: Path) -> None:
    """Where providers are cheaper than replicas, the operator's own bound keeps them: 3.6 / 0.5 is no price."""
    publish(tmp_path, explained(fleet(), replace(TERMS, spill_usd_per_replica_s=0.002)))
    lines = run(tmp_path, "llama-8b").stdout.splitlines()
    assert (
        "prices    $3.60 an hour for a replica; its work elsewhere counts as $7.20 although it costs less: "
        "home_use_ratio keeps a replica from 50 % of use on"
    ) in lines


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"least_replicas": 2}, "last      replica 2 stays whatever it costs: at least 2 are kept"),
        (
            {"on_lost_usd": -0.05},
            "last      replica 2 goes once having it has cost $2.4 more than buying: "
            "so far $0.05 less, as it kept work from being late",
        ),
    ],
    ids=["bound", "kept work from being late"],
)
def test_why_the_last_replica_stays(tmp_path: Path, changed: dict[str, float], says: str) -> None:
    """By a bound, or by what it has been good for."""
    publish(tmp_path, explained(fleet(), replace(TERMS, **changed)))  # type: ignore[arg-type]
    assert says in run(tmp_path, "llama-8b").stdout.splitlines()


@pytest.mark.parametrize(
    ("replica_usd_per_s", "spill_usd_per_replica_s", "says"),
    [
        (0.0, 0.0, "$0.00 an hour for a replica, $0.00 for its work elsewhere: neither costs anything"),
        (0.001, 0.0, "$3.60 an hour for a replica, $0.00 for its work elsewhere: it never pays"),
        (0.001, 0.0005, "$3.60 an hour for a replica, $1.80 for its work elsewhere: it never pays"),
        (0.0, 0.001, "$0.00 an hour for a replica, $3.60 for its work elsewhere: it pays from 0 % of use on"),
    ],
    ids=["both", "buying", "buying is cheaper", "the replica"],
)
def test_what_costs_nothing_is_told(
    tmp_path: Path, replica_usd_per_s: float, spill_usd_per_replica_s: float, says: str
) -> None:
    """A machine of one's own and a provider that is free have a price too."""
    free = replace(TERMS, replica_usd_per_s=replica_usd_per_s, spill_usd_per_replica_s=spill_usd_per_replica_s)
    publish(tmp_path, explained(fleet(), free))
    assert f"prices    {says}" in run(tmp_path, "llama-8b").stdout.splitlines()


def test_a_pool_without_prices_or_decisions_says_what_there_is(tmp_path: Path) -> None:
    """And a pin is told; a pool without replicas has no last one."""
    pinned = Pin(routing=None, replicas=2, who="ada", reason="launch", until_s=4e9)
    view = fleet(pin=pinned)
    view = replace(view, pools={**view.pools, "llama-8b": replace(view.pools["llama-8b"], cold_starts_s=(81.6, 90.0))})
    empty = replace(view.pools["mixtral-8x7b"], replicas=(), terms=TERMS)
    publish(tmp_path, replace(view, pools={**view.pools, "mixtral-8x7b": empty}))
    lines = run(tmp_path, "llama-8b").stdout.splitlines()
    assert lines[-3] == "starts    the last took 82, 90 s"
    assert lines[-1].startswith("prices    none: no traffic yet, GPUs without a price, or nobody to spill to")
    assert lines[-2] == "pinned    2 replicas until 2096-10-02T07:06:40Z, by ada: launch"
    lines = run(tmp_path, "mixtral-8x7b").stdout.splitlines()
    assert lines[:3] == [
        "pool      mixtral-8x7b: 0 ready, 0 warming, as many as there are wanted",
        "routing   Local: nothing decided yet",
        "scaling   nothing decided yet",
    ]
    assert not any(line.startswith("last") for line in lines)
    short = replace(view.pools["llama-8b"], missing_replicas=1)
    publish(tmp_path, replace(view, pools={"llama-8b": short}))
    assert run(tmp_path, "llama-8b").stdout.startswith(
        "pool      llama-8b: 1 ready, 1 warming, 3 wanted, 1 more would pay and cannot be had\n"
    )


def test_for_machines(tmp_path: Path) -> None:
    """The same as one document, with its age."""
    publish(tmp_path, explained(fleet(age_s=30.0)))
    result = run(tmp_path, "llama-8b", "--json")
    document = json.loads(result.stdout)
    assert document["kind"] == "pool_explained"
    assert document["data"]["terms"]["experts"][2] == [0.3, 10.0, 0.0, 8.25]
    assert document["data"]["desired"] == 3
    assert document["data"]["age_s"] >= 30.0
    assert "this was decided 30 s ago; no controller publishes here now" in result.stderr


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """No such pool, and no publication at all."""
    publish(tmp_path, fleet())
    error = run(tmp_path, "llama-7b").exception
    assert isinstance(error, CliError)
    assert (error.exit_code, str(error)) == (EXIT_USAGE, "no such pool: 'llama-7b'")
    assert error.why == "published pools: llama-8b, mixtral-8x7b"
    bare = tmp_path / "bare"
    (bare / "run").mkdir(parents=True)
    error = run(bare, "llama-8b").exception
    assert isinstance(error, CliError)
    assert str(error) == "nothing has been published"
