"""`spillway status`: a table for eighty columns, with no name ever broken, and the same as data."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from published import fleet, publish, replica
from published import run as run_command
from told_status import cells, run

from controller.adapters.limit_rows import LimitRows
from controller.cli import status
from controller.cli.errors import EXIT_FAILED, EXIT_USAGE, CliError
from controller.cli.output import aligned, console, table
from controller.cli.status_tables import age_words
from controller.core.fleet import Pin, PoolView, RoutingMode
from controller.core.rate_limits import Amounts, LimitMove, minute_of
from tests.adapters.ledger_values import entry, open_store, unlimited

pytestmark = pytest.mark.usefixtures("alone")
HEADER = ["NAME", "READY", "DESIRED", "WARMING", "ROUTING", "SPILL%", "SAT%", "AGE"]
WIDE = ["IN-FLIGHT", "SPILLED", "DRAINING", "MODEL"]


def test_the_table_fits_eighty_columns(tmp_path: Path) -> None:
    """Names and headers whole, each pool on one line, what is simulated in a note below."""
    publish(tmp_path, fleet())
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("NAME"))
    table = lines[at : at + 3]
    assert [cells(line) for line in table] == [
        HEADER,
        ["llama-8b", "1", "3", "1", "Spilling", "37", "120", "62m"],
        ["mixtral-8x7b", "1", "<unknown>", "0", "Local", "0", "<unknown>", "6m"],
    ]
    assert max(map(len, table)) <= 80
    assert lines[at + 3] == "simulated engines: llama-8b"
    assert lines[at + 4].startswith("AGE: ")


def test_a_name_too_long_for_the_width_is_not_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line grows instead; so it does in forty columns."""
    monkeypatch.setenv("COLUMNS", "40")
    name = "a-pool-with-a-name-of-more-than-forty-characters-in-it"
    publish(tmp_path, replace(fleet(), pools={name: PoolView(name=name, replicas=(replica(f"{name}-1", pool=name),))}))
    lines = run(tmp_path).stdout.splitlines()
    assert any(cells(line)[:2] == [name, "1"] for line in lines)
    assert any(cells(line) == HEADER for line in lines)


@pytest.mark.parametrize("arguments", [("-o", "wide"), ("--wide",), ("--output", "wide")])
def test_wide_has_the_other_columns(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """As kubectl asks for it."""
    publish(tmp_path, fleet())
    lines = [cells(line) for line in run(tmp_path, *arguments).stdout.splitlines()]
    assert [*HEADER, *WIDE] in lines
    assert [*["1", "3", "1", "Spilling", "37", "120", "62m", "<unknown>", "<unknown>", "1", "llama-8b-self"]] in [
        line[1:] for line in lines
    ]


def test_why_is_told_in_whole_lines(tmp_path: Path) -> None:
    """Reasons are not wrapped when piped: one line each, to be searched for."""
    word = Pin(routing=None, replicas=2, who="ada", reason="driver update", until_s=time.time() + 7230.0)
    publish(tmp_path, fleet(pin=word))
    lines = run(tmp_path).stdout.splitlines()
    reason = next(line for line in lines if line.startswith("  llama-8b: "))
    assert "a reason too long for a line of eighty characters; scaling: demand 2.70" in reason
    assert reason.endswith("pinned by ada for 120m more: driver update")
    view = fleet(pin=word)
    pool = replace(view.pools["llama-8b"], mode_reason="pinned by ada: driver update", decision_reason="")
    publish(tmp_path, replace(view, pools={"llama-8b": pool}))
    told_once = "  llama-8b: routing: pinned by ada: driver update; pin expires in 120m"
    assert told_once in run(tmp_path).stdout.splitlines()
    publish(tmp_path, view)
    assert "    llama-8b-bbb222 warming, due in 30 s" in lines
    assert "    llama-8b-ccc333 draining, 3 open" in lines
    assert "    llama-8b-ddd444 lost: process ended" in lines


def test_fixed_pools_want_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here decides how many endpoints there are: none, not unknown."""
    monkeypatch.setenv("LLAMA_8B_ENDPOINT", "http://10.0.0.1:8000/v1")
    view = fleet()
    fixed = replace(view.pools["llama-8b"], desired_replicas=None)
    publish(tmp_path, replace(view, pools={"llama-8b": fixed}))
    assert ["llama-8b", "1", "<none>"] in [cells(line)[:3] for line in run(tmp_path).stdout.splitlines()]


@pytest.mark.parametrize("arguments", [("--json",), ("-o", "json")])
def test_the_same_as_json(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """One document; ages with what they are of; what is unknown is null."""
    publish(tmp_path, fleet())
    found = json.loads(run(tmp_path, *arguments).stdout)
    assert found["kind"] == "status"
    data = found["data"]
    assert (data["stale"], data["controller_up"], data["gateway_up"], data["spend_today"]) == (True, False, False, None)
    spilling, calm = data["pools"]
    assert (spilling["routing"], spilling["spill_ratio"], spilling["desired"]) == ("Spilling", 0.37, 3)
    assert (spilling["age_of"], calm["age_of"]) == ("routing", "replica")
    assert spilling["age_s"] == pytest.approx(3720.0, abs=5.0)
    assert calm["age_s"] == pytest.approx(400.0, abs=5.0)
    assert (spilling["simulated"], calm["simulated"], spilling["in_flight"]) == (True, False, None)
    assert (spilling["draining"], spilling["lost"]) == (1, 1)


def test_a_pool_nobody_knows_the_age_of(tmp_path: Path) -> None:
    """No routing change and no replica: unknown, not zero."""
    publish(tmp_path, replace(fleet(), pools={"llama-8b": PoolView(name="llama-8b")}))
    rows = [cells(line) for line in run(tmp_path).stdout.splitlines()]
    assert ["llama-8b", "0", "<unknown>", "0", "Local", "0", "<unknown>", "<unknown>"] in rows
    assert json.loads(run(tmp_path, "--json").stdout)["data"]["pools"][0]["age_s"] is None


def test_nothing_published_is_one_clear_line(tmp_path: Path) -> None:
    """Where a gateway has run but no controller: with the command that starts a system."""
    (tmp_path / "pepper").touch()
    error = run(tmp_path).exception
    assert isinstance(error, CliError)
    assert (error.exit_code, error.fix) == (EXIT_FAILED, "start one: spillway up")


def test_a_garbled_view_leaves_stdout_to_data(tmp_path: Path) -> None:
    """The warning goes to stderr, and the command says that there is nothing."""
    publish(tmp_path, fleet())
    (tmp_path / "run" / "fleet.json").write_text("{")
    result = run(tmp_path, "--json")
    assert isinstance(result.exception, CliError)
    assert result.stdout == ""


def test_an_unknown_shape_is_wrong_usage(tmp_path: Path) -> None:
    """-o takes wide or json."""
    assert run(tmp_path, "-o", "yaml").exit_code == EXIT_USAGE


def test_an_empty_ledger_is_no_spend(tmp_path: Path) -> None:
    """Zero is told once there are books."""
    publish(tmp_path, fleet())
    assert "Spend today: no ledger yet" in run(tmp_path).stdout
    open_store(tmp_path / "spillway.db", tmp_path, unlimited).close()
    assert "0 requests, 0 spilled, 0 simulated; bought $0.0000" in run(tmp_path).stdout


def test_tenants_with_limits_are_told_how_much_is_used(tmp_path: Path) -> None:
    """Those that are named, and those that used something; this minute's requests and tokens, and money."""
    (tmp_path / "spillway.yaml").write_text(
        "tenants:\n  '*': {requests_per_min: 60}\n  acme: {tokens_per_min: 9000, usd_per_day: 5}\n"
        "  free: {requests_per_min: null, priority: batch}\n"
    )
    publish(tmp_path, fleet())
    rows, minute, wish = LimitRows(tmp_path / "spillway.db"), minute_of(time.time()), Amounts(requests=7, tokens=80)
    rows.move_now(
        [
            LimitMove(tenant=tenant, minute=now, wish=wish, requests_limit=60, tokens_limit=None)
            for tenant in ("guest", "free")
            for now in (minute, minute + 1)
        ]
    )
    rows.close()
    below = run(tmp_path).stdout.partition("Tenants, used of their limits")[2]
    told = [cells(line.strip()) for line in below.splitlines()]
    assert told[1:4] == [
        ["TENANT", "REQUESTS/MIN", "TOKENS/MIN", "USD TODAY", "USD THIS MONTH"],
        ["acme", "0 of 60", "0 of 9000", "0.0000 of 5", "0.0000"],
        ["guest", "7 of 60", "80", "0.0000", "0.0000"],
    ]
    data = json.loads(run(tmp_path, "--json").stdout)["data"]["tenants"]
    assert [(row["tenant"], row["requests_this_minute"], row["usd_per_day"]) for row in data] == [
        ("acme", 0, "5"), ("guest", 7, None),
    ]  # fmt: skip


def test_pools_with_a_limit_are_told_what_they_have_spilled_for(tmp_path: Path) -> None:
    """In this hour, of what they may; other pools are not named, and nothing is said where none has a limit."""
    publish(tmp_path, fleet())
    assert "Spill of this hour" not in run(tmp_path).stdout
    (tmp_path / "spillway.yaml").write_text(
        "pools:\n  - {name: llama-8b, model: llama-8b-self, spill: {to: [gpt-6-luna], max_usd_per_hour: 2.5}}\n"
    )
    book = open_store(tmp_path / "spillway.db", tmp_path, unlimited)
    now_s = time.time()
    for name, pool, at_s in (("a", "llama-8b", now_s), ("b", "llama-8b", now_s - 3600.0), ("c", "other", now_s)):
        book.post(entry(name, home_pool=pool, at_s=at_s, cost_nanousd=10**9))
    book.close()
    below = run(tmp_path).stdout.partition("Spill of this hour (UTC)")[2]
    told = [cells(line.strip()) for line in below.splitlines()]
    assert told[1:4] == [["POOL", "USD THIS HOUR"], ["llama-8b", "1.0000 of 2.5"], [""]]
    limits = json.loads(run(tmp_path, "--json").stdout)["data"]["spill_limits"]
    assert limits == [{"pool": "llama-8b", "usd_per_hour": "2.5", "bought_this_hour_usd": "1"}]


def test_pools_come_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    """Then those that are only published."""
    view = fleet()
    pools = {"zeta": PoolView(name="zeta", mode=RoutingMode.LOCAL), **dict(reversed(view.pools.items()))}
    publish(tmp_path, replace(view, pools=pools))
    names = [row["name"] for row in json.loads(run(tmp_path, "--json").stdout)["data"]["pools"]]
    assert names == ["llama-8b", "mixtral-8x7b", "zeta"]


@pytest.mark.parametrize(
    ("age_s", "words"),
    [
        (-3.0, "0s"), (0.4, "0s"), (119.9, "119s"), (120, "2m"), (179 * 60 + 59, "179m"), (3 * 3600, "3h"),
        (3 * 3600 + 720, "3h12m"), (47 * 3600 + 3540, "47h59m"), (48 * 3600, "2d"), (52 * 3600, "2d4h"),
    ],
)  # fmt: skip
def test_ages_read_as_kubectl_has_them(age_s: float, words: str) -> None:
    """The two largest units at most."""
    assert age_words(age_s) == words


def test_wide_characters_keep_columns_straight() -> None:
    """Cells are measured as a terminal shows them."""
    assert aligned(("NAME", "N"), [("日本", "1"), ("abcde", "2")]).plain == "NAME   N\n日本   1\nabcde  2"


def test_help_shows_an_example() -> None:
    """And the shapes."""
    result = run_command(status.register, "status", "--help")
    assert "Examples" in result.stdout
    assert "wide" in result.stdout


def test_tables_in_a_pipe_break_no_cell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the width: an ID that is cut in two can be neither searched for nor pasted."""
    monkeypatch.setenv("COLUMNS", "20")
    console.cache_clear()
    table("[Title]", ("ID", "WHY"), [("req-0123456789-0000001", "a long reason in many words")])
    assert capsys.readouterr().out.splitlines() == [
        "[Title]",
        "ID                      WHY",
        "req-0123456789-0000001  a long reason in many words",
    ]
