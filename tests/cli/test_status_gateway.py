"""`spillway status`: what only the gateway knows, counters and who is out of rotation."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from published import fleet, publish
from told_status import run

from controller.telemetry.gateway_metrics import GatewayMetrics, registry_of, render

pytestmark = pytest.mark.usefixtures("alone")


class Handler(http.server.BaseHTTPRequestHandler):
    """The gateway's admin port."""

    body = b""
    loads = b""

    def do_GET(self) -> None:
        """The loads, or metrics whatever else was asked."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.loads if self.path == "/v1/loads" else self.body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    """A server where the gateway's admin port should be."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        monkeypatch.setenv("SPILLWAY_PORT", str(made.server_port - 1))
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Handler
        made.shutdown()
        thread.join()


def test_counters_come_from_the_gateway(tmp_path: Path, admin: type[Handler]) -> None:
    """In flight and spilled per pool, zero when it says nothing about one."""
    metrics = GatewayMetrics()
    pool = metrics.target("llama-8b", is_own=True)
    pool.in_flight, pool.arrivals, pool.spilled = 4, 10, {"saturated": 2, "spilling": 3}
    admin.body = render(registry_of(metrics))
    publish(tmp_path, fleet())
    data = json.loads(run(tmp_path, "--json").stdout)["data"]
    assert data["gateway_up"]
    assert [(row["in_flight"], row["spilled"], row["arrivals"]) for row in data["pools"]] == [(4, 5, 10), (0, 0, 0)]
    assert "the gateway does not answer" not in run(tmp_path).stdout


def in_rotation(**changes: object) -> dict[str, object]:
    """A replica as the gateway publishes it, well but for the changes."""
    well = {"ejected": None, "ejected_s": 0.0, "ramp_ratio": None, "slowness": {"prefill": 1.0, "decode": 1.0}}
    return {"pool": "llama-8b", **well, **changes}


def test_who_is_out_of_rotation_is_told_with_the_reason(tmp_path: Path, admin: type[Handler]) -> None:
    """Ejected, left alone by its breaker, on its ramp; nothing of one that is well or of another pool."""
    metrics = GatewayMetrics()
    metrics.target("llama-8b", is_own=True)
    admin.body = render(registry_of(metrics))
    replicas = {
        "r1": in_rotation(),
        "r2": in_rotation(ejected="slow", ejected_s=7.2, slowness={"prefill": 9.8, "decode": 1.1}),
        "r3": in_rotation(ejected="gone", ejected_s=0.0),
        "r4": in_rotation(ramp_ratio=0.4),
        "r5": in_rotation(),
        "m1": in_rotation(pool="mixtral-8x7b", ejected="errors", ejected_s=3.0),
    }
    admin.loads = json.dumps({"replicas": replicas, "left_alone_s": {"r5": 12.0, "openai": 3.0}}).encode()
    publish(tmp_path, fleet())
    lines = run(tmp_path).stdout.splitlines()
    assert [line for line in lines if re.match("    [rm][0-9] ", line)] == [
        "    r2 ejected, for 7 s more: slower than its peers"
        " (prompts 9.8 times as long as predicted, tokens 1.1 times)",
        "    r3 ejected, due back: no connection",
        "    r4 ramping, 40% of its way to a full share: it started or came back a moment ago",
        "    r5 left alone, for 12 s more: its calls failed in a row",
        "    m1 ejected, for 3 s more: fails more often than its peers",
    ]
    pools = json.loads(run(tmp_path, "--json").stdout)["data"]["pools"]
    assert [[(one["replica_id"], one["state"], one["reason"]) for one in pool["rotation"]] for pool in pools] == [
        [("r2", "ejected", "slow"), ("r3", "ejected", "gone"), ("r4", "ramping", None), ("r5", "left alone", None)],
        [("m1", "ejected", "errors")],
    ]


@pytest.mark.parametrize("loads", [b"", b"[]", b"{}", b"no json"])
def test_without_word_of_the_rotation_it_is_unknown(tmp_path: Path, admin: type[Handler], loads: bytes) -> None:
    """Not an empty list, which would mean that everyone is well."""
    metrics = GatewayMetrics()
    metrics.target("llama-8b", is_own=True)
    admin.body, admin.loads = render(registry_of(metrics)), loads
    publish(tmp_path, fleet())
    assert json.loads(run(tmp_path, "--json").stdout)["data"]["pools"][0]["rotation"] is None


@pytest.mark.parametrize("body", [b"<html>not a gateway</html>", b"spillway_in_flight{ 1\n", b""])
def test_something_else_on_the_gateways_port_is_no_gateway(tmp_path: Path, admin: type[Handler], body: bytes) -> None:
    """No traceback, no zeros: the gateway does not answer."""
    admin.body = body
    publish(tmp_path, fleet())
    assert "the gateway does not answer" in run(tmp_path).stdout
    assert json.loads(run(tmp_path, "--json").stdout)["data"]["pools"][0]["in_flight"] is None
