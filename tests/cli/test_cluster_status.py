"""What commands tell of a cluster: the table of one machine, reasons, conditions, and what cannot be known."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from about_cluster import document, refused, run
from aiohttp import web
from fake_cluster import LEASES, MODELS, PODS, POOLS, FakeCluster
from published import fleet as published_fleet

from controller.adapters.fleet_file import encode_view
from controller.cli.errors import EXIT_FAILED
from tests.adapters.fake_api_objects import status_error
from tests.cluster.installed import labels, lease, model_pool, pod, ready

METRICS = b"""# TYPE spillway_pool_arrivals_total counter
spillway_pool_arrivals_total{pool="llama-8b"} 10
# TYPE spillway_spilled_requests_total counter
spillway_spilled_requests_total{pool="llama-8b",reason="saturated"} 4
# TYPE spillway_in_flight gauge
spillway_in_flight{pool="llama-8b"} 2
# TYPE spillway_provider_keys gauge
spillway_provider_keys{provider="openai",state="good"} 1
spillway_provider_keys{provider="groq",state="refused"} 1
# TYPE spillway_spend_usd_total counter
spillway_spend_usd_total{kind="external"} 0.25
spillway_spend_usd_total{kind="own"} 0.5
"""


BOOKS: dict[str, Any] = {
    "spend_today": {"requests": 7, "spilled": 2, "simulated": 0, "bought_usd": "0.125", "own_usd": "0.5"},
    "tenants": [
        {
            "tenant": "acme",
            "requests_per_min": 60,
            "requests_this_minute": 3,
            "tokens_per_min": None,
            "tokens_this_minute": 0,
            "usd_per_day": "5",
            "bought_today_usd": "0.125",
            "usd_per_month": None,
            "bought_this_month_usd": "1.5",
        }
    ],
    "spill_limits": [{"pool": "llama-8b", "usd_per_hour": "20", "bought_this_hour_usd": "3.25"}],
}


def test_status_has_the_table_of_one_machine(there: FakeCluster) -> None:
    """The same columns, the reasons, what gateways count together, and what somebody may have to do."""
    there.fleet("demo-gateway-1", "demo-gateway-2")
    for name in ("demo-gateway-1", "demo-gateway-2"):
        there.pages[f"{name}:8081", "/metrics"] = METRICS
    result = run("status", "-o", "wide")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("NAME"))
    assert lines[at].split() == [
        *("NAME", "READY", "DESIRED", "WARMING", "ROUTING", "SPILL%", "SAT%", "AGE"),
        *("IN-FLIGHT", "SPILLED", "DRAINING", "MODEL"),
    ]
    cells = lines[at + 1].split()
    assert cells[:8] == ["llama-8b", "1", "2", "0", "Spilling", "37", "120", "62m"]
    assert cells[8:] == ["4", "8", "0", "llama-8b-self"]
    told = result.stdout
    assert "routing: saturated: 1.20 >= 0.90; scaling: demand 2.70" in told
    assert "CapacityUnavailable (Unschedulable): Replicas without a node: 1" in told
    assert "openai  usable" in told
    assert "groq    key refused" in told
    assert "bought $0.5000, own pools at planning prices $1.0000" in told
    assert "spillway ledger report --by day --context demo" in told


def test_status_as_data_has_the_names_of_one_machine(there: FakeCluster) -> None:
    """And the namespace and the conditions beside; what nobody tells is null."""
    there.fleet()
    told = document("status")
    assert isinstance(told, dict)
    assert (told["namespace"], told["stale"], told["controller_up"], told["gateway_up"]) == (MODELS, False, True, False)
    pool = told["pools"][0]
    assert (pool["name"], pool["ready"], pool["desired"], pool["spilled"]) == ("llama-8b", 1, 2, None)
    assert pool["conditions"][0]["type"] == "CapacityUnavailable"
    assert pool["replicas"][0]["replica_id"] == "llama-8b-aaa"


def test_spend_is_the_ledgers_as_on_one_machine(there: FakeCluster) -> None:
    """Of the first gateway that can read it, exact, with tenants and their limits; else what gateways have counted."""
    there.fleet("demo-gateway-1", "demo-gateway-2")
    there.pages["demo-gateway-1:8081", "/metrics"] = METRICS
    assert "Spend since these gateways started: bought $0.2500" in run("status").stdout
    there.pages["demo-gateway-2:8081", "/v1/books"] = orjson.dumps(BOOKS)
    result = run("status")
    assert "Spend today (UTC): 7 requests, 2 spilled, 0 simulated; bought $0.1250, own pools" in result.stdout
    assert "since these gateways started" not in result.stdout
    assert ["acme", "3", "of", "60", "0", "0.1250", "of", "5", "1.5000"] in [
        line.split() for line in result.stdout.splitlines()
    ]
    assert ["llama-8b", "3.2500", "of", "20"] in [line.split() for line in result.stdout.splitlines()]
    told = document("status")
    assert isinstance(told, dict)
    assert told["spend_today"] == {**BOOKS["spend_today"], "bought_usd": told["spend_today"]["bought_usd"],
                                   "own_usd": told["spend_today"]["own_usd"]}  # fmt: skip
    assert float(told["spend_today"]["bought_usd"]) == 0.125
    assert float(told["tenants"][0]["bought_this_month_usd"]) == 1.5


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"spend_today": 3}', b'{"spend_today": {"bought_usd": "x"}}'])
def test_books_that_cannot_be_read_are_none(there: FakeCluster, body: bytes) -> None:
    """Another page than that of the books is passed over."""
    there.fleet("demo-gateway-1")
    there.pages["demo-gateway-1:8081", "/v1/books"] = body
    told = document("status")
    assert isinstance(told, dict)
    assert (told["spend_today"], told["tenants"], told["spill_limits"]) == (None, [], [])


def test_a_controller_that_is_gone_is_told(there: FakeCluster) -> None:
    """Its lease has run out; what may not be read is not guessed."""
    there.fleet()
    there.put(LEASES, lease("demo-controller-0-ab12cd", age_s=60.0))
    assert "STALE" in run("status").stdout
    there.do(there.api.drop(LEASES, "spillway-controller"))
    assert "STALE" in run("status").stdout

    def no_leases(request: web.Request) -> tuple[int, dict[str, object]] | None:
        words = "leases.coordination.k8s.io is forbidden"
        return (403, status_error(403, "Forbidden", words)) if "/leases" in request.path else None

    there.api.faults.append(no_leases)
    result = run("status")
    assert "who leads is not known" in result.stdout
    assert "STALE" not in result.stdout


def test_requests_on_replicas_are_the_leaders_word(there: FakeCluster) -> None:
    """Its page has what no status has; another page than a view is passed over."""
    there.fleet()
    view = published_fleet()
    there.pages["demo-controller-0:8082", "/v1/status"] = b"not a view"
    assert document("status")
    seen = next(one for one in view.pools["llama-8b"].replicas if one.running is not None)
    there.put(PODS, {**pod(seen.replica_id, labels("engine", pool="llama-8b")), "status": ready()})
    there.pages["demo-controller-0:8082", "/v1/status"] = encode_view(view)
    told = document("status")
    assert isinstance(told, dict)
    by_id = {one["replica_id"]: one for one in told["pools"][0]["replicas"]}
    assert (by_id[seen.replica_id]["running"], by_id[seen.replica_id]["waiting"]) == (2, 1)


def test_replicas_out_of_rotation_are_told_with_how_many_gateways_say_so(there: FakeCluster) -> None:
    """As the gateway that trusts it least has it."""
    there.fleet("demo-gateway-1", "demo-gateway-2")
    loads = {
        "replicas": {"llama-8b-aaa": {"pool": "llama-8b", "ejected": "hung", "ejected_s": 4.0}},
        "left_alone_s": {},
    }
    calm = {"replicas": {"llama-8b-aaa": {"pool": "llama-8b", "ejected": None, "ramp_ratio": None}}}
    there.pages["demo-gateway-1:8081", "/v1/loads"] = orjson.dumps(loads)
    there.pages["demo-gateway-2:8081", "/v1/loads"] = orjson.dumps(calm)
    assert "llama-8b-aaa ejected, for 4 s more: work but no tokens, at 1 of 2 gateways" in run("status").stdout


def test_the_namespace_may_be_the_environments(there: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the processes; a flag goes before it."""
    there.fleet()
    monkeypatch.setenv("SPILLWAY_NAMESPACE", "elsewhere")
    assert "no Spillway in namespace elsewhere" in refused("status").what
    assert run("status", "-n", MODELS).exit_code == 0


def test_an_empty_namespace_is_told_as_such(there: FakeCluster) -> None:
    """The API has no error for it."""
    error = refused("status")
    assert "no Spillway in namespace models" in error.what
    assert (error.exit_code, "--namespace" in error.fix) == (EXIT_FAILED, True)
    assert "there is no ModelPool in namespace models" in run("pool", "list").stderr


def test_a_pool_is_explained_with_its_conditions(there: FakeCluster) -> None:
    """Prices where the controller's page can be read, a note where not, and the way to its Events."""
    there.fleet()
    result = run("explain", "pool", "llama-8b")
    assert "pool      llama-8b: 1 ready, 0 warming, 2 wanted" in result.stdout
    assert "routing   Spilling, 37 % leaves: saturated" in result.stdout
    assert "starts    the last took 61, 64, 59 s" in result.stdout
    assert "condition CapacityUnavailable" in result.stdout
    assert "prices" not in result.stdout
    assert "prices are not told" in result.stderr
    assert "kubectl describe modelpool llama-8b --context demo" in result.stderr
    told = document("explain", "pool", "llama-8b")
    assert isinstance(told, dict)
    assert (told["wanted"] if "wanted" in told else told["desired"], told["routing"]) == (2, "Spilling")


def test_a_pool_whose_spec_is_refused_has_no_figures(there: FakeCluster) -> None:
    """The pods of its target may be another pool's, as here; why it is refused stands under its own name."""
    there.fleet()
    words = "`spec.model` no such model (got 'nope')."
    refusal = {"type": "Stalled", "status": "True", "reason": "InvalidSpec", "message": words}
    twin = model_pool("twin", scaleTargetRef=model_pool("llama-8b")["spec"]["scaleTargetRef"], model="nope")
    there.put(POOLS, {**twin, "status": {"conditions": [refusal]}})
    lines = run("status").stdout.splitlines()
    row = next(line for line in lines if line.startswith("twin"))
    assert row.split() == ["twin", *["<unknown>"] * 7]
    assert lines[lines.index("  twin:") + 1] == f"    Stalled (InvalidSpec): {words}"
    listed = {one["name"]: one for one in document("pool", "list")}
    assert (listed["twin"]["ready"], listed["twin"]["replicas"], listed["llama-8b"]["ready"]) == (None, [], 1)
    told = document("explain", "pool", "twin")
    assert [told[name] for name in ("ready", "routing", "spill_ratio")] == [None] * 3
    explained = run("explain", "pool", "twin").stdout.splitlines()
    assert explained[0] == "pool      twin: left out until its spec is mended; gateways do not know it"
    assert explained[1] == f"condition Stalled (InvalidSpec): {words}"


def test_an_api_that_knows_no_model_pools_is_told(there: FakeCluster) -> None:
    """The chart brings them."""

    def unknown(request: web.Request) -> tuple[int, dict[str, object]] | None:
        words = "the server could not find the requested resource"
        return (404, status_error(404, "NotFound", words)) if "modelpools" in request.path else None

    there.api.faults.append(unknown)
    error = refused("status")
    assert "knows no ModelPools" in error.what
    assert "helm/ops" in error.fix


def test_an_api_that_is_away_is_told(there: FakeCluster) -> None:
    """With the server's name, as JSON too."""
    text = there.kubeconfig.read_text(encoding="utf-8").replace("127.0.0.1:", "127.0.0.1:1#")
    there.kubeconfig.write_text(text, encoding="utf-8")
    error = refused("pool", "list")
    assert "no answer from namespace models of http://127.0.0.1:1" in error.what
    assert error.exit_code == EXIT_FAILED
