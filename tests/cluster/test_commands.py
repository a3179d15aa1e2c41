"""`spillway` and `kubectl spillway` on a real API: what they read and write, and what they say when they may not."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from tests.cluster.handle import ControlPlane
from tests.cluster.installed import Installation, install_crd, labels, ready
from tests.cluster.programs import built

MAIN = "import sys; sys.dont_write_bytecode = False; from controller.cli.main import {0}; {0}()"
METRICS = b'# TYPE spillway_in_flight gauge\nspillway_in_flight{pool="llama-8b"} 2\n'
WHY = ("--reason", "driver update", "--who", "ada")
COMMAND_S = 60.0


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """A control plane that knows ModelPools."""
    install_crd(control_plane)
    return control_plane


def call(
    plane: ControlPlane, *words: str, entry: str = "main", environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One command as a person types it, with this cluster in KUBECONFIG; no traceback, whatever comes of it."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN.format(entry), *words],
        env={**os.environ, **plane.environ, "COLUMNS": "100", **(environ or {})},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def own_address() -> str:
    """An address of this machine that the API will connect to: not the loopback."""
    found = [one.address for all_of in psutil.net_if_addrs().values() for one in all_of if one.family.name == "AF_INET"]
    return next(address for address in found if not address.startswith(("127.", "169.254.")))


@contextmanager
def serving(port: int, pages: Mapping[str, bytes]) -> Iterator[str]:
    """A process with these pages, where the API finds it; its address."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # as the library wants it
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((own_address(), port), Pages)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield str(server.server_address[0])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10.0)


def test_status_reads_objects_and_pages_of_pods(plane: ControlPlane) -> None:
    """The pages come through the API server's proxy; without the gateways the rest is told all the same."""
    there = Installation(plane, "cli-status")
    loads = json.dumps({"replicas": {}, "left_alone_s": {}}).encode()
    with serving(8081, {"/metrics": METRICS, "/v1/loads": loads}) as address:
        there.fleet(["demo-gateway-1"], address)
        told = json.loads(call(plane, "status", "--namespace", "cli-status", "--json").stdout)["data"]
        assert (told["gateway_up"], told["controller_up"], told["stale"]) == (True, True, False)
        assert (told["pools"][0]["in_flight"], told["pools"][0]["rotation"]) == (2, [])
    wide = call(plane, "-n", "cli-status", "status", "-o", "wide")
    assert "the gateway does not answer: no counters" in wide.stdout
    assert "llama-8b-bbb warming: no node: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu." in wide.stdout


def test_a_pin_is_what_kubectl_sees_and_its_undo_restores_the_spec(plane: ControlPlane) -> None:
    """A dry run asks the API and changes nothing; do and undo leave the spec as it was."""
    there = Installation(plane, "cli-pin")
    there.fleet()
    before = there.get("modelpool", "llama-8b")["spec"]
    where = ("--namespace", "cli-pin")
    dry = call(plane, "pool", "pin", "llama-8b", "--routing", "External", *WHY, "--dry-run", *where)
    assert dry.stdout == "pool/llama-8b pinned (dry run)\n", dry.stderr
    assert there.get("modelpool", "llama-8b")["spec"] == before
    done = call(plane, "pool", "pin", "llama-8b", "--routing", "External", "--replicas", "2", *WHY, *where)
    assert done.stdout == "pool/llama-8b pinned\n", done.stderr
    path = "-o=jsonpath={.spec.pin.routing} {.spec.pin.replicas} {.spec.pin.who} {.spec.pin.reason}"
    assert there.kubectl("get", "spool", "llama-8b", path) == "External 2 ada driver update"
    undo = next(line for line in done.stderr.splitlines() if line.startswith("undo: "))
    assert call(plane, *shlex.split(undo)[2:]).stdout == "pool/llama-8b unpinned\n"
    assert there.get("modelpool", "llama-8b")["spec"] == before


def test_a_pin_of_kubectl_is_listed_and_taken_back(plane: ControlPlane) -> None:
    """`kubectl scale` pins replicas for a while, and `unpin` ends it."""
    there = Installation(plane, "cli-scale")
    there.fleet()
    there.kubectl("scale", "spool/llama-8b", "--replicas=3")
    listed = json.loads(call(plane, "pool", "list", "--json", "-n", "cli-scale").stdout)["data"]
    pin = listed[0]["pin"]
    assert (pin["replicas"], pin["routing"], bool(pin["who"])) == (3, None, True)
    assert call(plane, "pool", "unpin", "llama-8b", "-n", "cli-scale").stdout == "pool/llama-8b unpinned\n"
    assert there.kubectl("get", "spool", "llama-8b", "-o=jsonpath={.spec.pin.replicas}") == "0"


def test_a_pod_is_told_to_go(plane: ControlPlane) -> None:
    """As `kubectl annotate` would; a dry run does not."""
    there = Installation(plane, "cli-drain")
    there.fleet()
    where = ("-n", "cli-drain")
    path = "-o=jsonpath={.metadata.annotations.spillway\\.dev/drain}"
    call(plane, "pool", "drain", "llama-8b-aaa", "--dry-run", *where)
    assert there.kubectl("get", "pod", "llama-8b-aaa", path) == ""
    assert call(plane, "pool", "drain", "llama-8b-aaa", *where).stdout == "replica/llama-8b-aaa draining\n"
    assert there.kubectl("get", "pod", "llama-8b-aaa", path) == "true"
    again = call(plane, "pool", "drain", "llama-8b-aaa", "--error-unchanged", *where)
    assert (again.returncode, again.stdout) == (3, "replica/llama-8b-aaa was told to drain already\n")


def test_an_api_that_says_nothing_is_given_up(plane: ControlPlane, tmp_path: Path) -> None:
    """Something takes the connection and never answers, as a frozen API does: words, not silence."""
    config = tmp_path / "kubeconfig"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"http://127.0.0.1:{silent.getsockname()[1]}"
        authority = plane.probe.authority
        authority.kubeconfig(config, server=server, pair=plane.probe.admin)
        done = call(plane, "pool", "list", "-n", "models", environ={"KUBECONFIG": str(config)})
    assert done.returncode == 1
    assert f"error: no answer from namespace models of {server}: the Kubernetes API had no whole answer" in done.stderr
    assert "kubectl get --raw /readyz --namespace models" in done.stderr


def _program(path: Path, text: str) -> None:
    """Not by `#!` of the interpreter: its path may have a space."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-c", text])} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


def test_kubectl_finds_the_plugin(plane: ControlPlane, tmp_path: Path) -> None:
    """`kubectl spillway`, its flags before or behind the command; commands are printed as they must be typed."""
    there = Installation(plane, "cli-plugin")
    there.fleet()
    _program(tmp_path / "kubectl-spillway", MAIN.format("kubectl_main"))
    environ = {**os.environ, **plane.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "COLUMNS": "100"}

    def plugged(*words: str) -> str:
        typed = [str(built("kubectl")), "spillway", *words]
        done = subprocess.run(typed, env=environ, capture_output=True, text=True, timeout=COMMAND_S, check=True)
        return done.stdout + done.stderr

    assert "llama-8b" in plugged("-n", "cli-plugin", "pool", "list")
    assert "undo: kubectl spillway pool unpin llama-8b --namespace cli-plugin" in plugged(
        "pool", "pin", "llama-8b", "--replicas", "2", *WHY, "-n", "cli-plugin"
    )
    assert "Usage: kubectl spillway status" in plugged("status", "--help")


def test_kubectl_completes_what_follows(plane: ControlPlane, tmp_path: Path) -> None:
    """Commands, and the pools of the namespace, by the second program that kubectl looks for."""
    there = Installation(plane, "cli-complete")
    there.fleet()
    for name, entry in (("kubectl-spillway", "main"), ("kubectl_complete-spillway", "complete")):
        text = MAIN.format("main").replace("cli.main", f"cli.{entry}")
        _program(tmp_path / name, text)
    environ = {**os.environ, **plane.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    typed = [str(built("kubectl")), "__complete", "spillway", "pool", "pin", "-n", "cli-complete", "llama"]
    done = subprocess.run(typed, env=environ, capture_output=True, text=True, timeout=COMMAND_S, check=True)
    assert done.stdout.split() == ["llama-8b", ":4"]


LOOK = ("get,list modelpools.spillway.dev", "list deployments.apps", "list pods")
PIN = ("pool", "pin", "llama-8b", "--replicas", "2", *WHY)


@pytest.mark.parametrize(
    ("rules", "words", "told"),
    [
        ((), ("status",), (4, "you may not do that")),
        (LOOK, ("pool", "list"), (0, "may not be read")),
        (LOOK, PIN, (4, "cannot patch resource")),
        (LOOK[2:], ("keys", "list"), (4, "pods/exec")),
    ],
)
def test_who_may_not_is_told_what_is_missing(
    plane: ControlPlane, tmp_path: Path, rules: tuple[str, ...], words: tuple[str, ...], told: tuple[int, str]
) -> None:
    """In the API's own words, with where to look; exit code 4."""
    name = f"cli-rights-{len(rules)}-{'-'.join(words[:2])}"
    there = Installation(plane, name)
    there.fleet()
    there.pods(labels("gateway"), {"demo-gateway-1": ready()}, container="gateway")
    for index, rule in enumerate(rules):
        verbs, resource = rule.split()
        there.kubectl("create", "role", f"r{index}", f"--verb={verbs}", f"--resource={resource}")
        there.kubectl("create", "rolebinding", f"r{index}", f"--role=r{index}", f"--user={name}")
    authority = plane.probe.authority
    config = tmp_path / "kubeconfig"
    authority.kubeconfig(config, server=plane.server, pair=authority.issue(name, f"/CN={name}"))
    given = {"KUBECONFIG": str(config)}
    done = call(plane, *words, "-n", name, environ=given)
    assert done.returncode == told[0], done.stderr
    assert told[1] in done.stderr
