"""`python -m tests.bench.control_tick`: what a tick of the controller costs on a large fleet; prints its figures.

The controller is a process as on a cluster; the API is the fake one, and engines and gateways are their metrics pages,
all in a process of their own. Needs no cluster, so that a change can be measured before and after in a minute:
`kubernetes_scale` says what it comes to on a real API.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import psutil

from controller.telemetry.gateway_metrics import GatewayMetrics, registry_of, render
from tests.adapters.cluster_world import MODEL_POOLS, model_pool
from tests.adapters.fake_apiserver import FakeApiServer, running_apiserver
from tests.adapters.fake_deployments import DEPLOYMENTS, PODS, deployment
from tests.cluster.quiet_engine import ANSWER
from tests.e2e.stack import free_ports
from tests.faults.gateway_process import page

TICK = "spillway_controller_tick_duration_seconds"
SINCE = "2026-11-01T00:00:00Z"
READY_S, STOP_S = 180.0, 60.0
GATEWAY_LABELS = {"app.kubernetes.io/name": "spillway", "app.kubernetes.io/component": "gateway"}


class Page(asyncio.Protocol):
    """Answers every request with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Noted."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """One answer for each end of a request's head."""
        self._transport.write(self._answer * data.count(b"\r\n\r\n"))


def gateway_answer(pools: int) -> bytes:
    """The metrics of a gateway that knows all pools and has served each."""
    metrics = GatewayMetrics()
    for number in range(pools):
        target = metrics.target(f"pool-{number:03}", is_own=True)
        target.arrivals, target.input_tokens, target.output_tokens = 100, 50_000, 12_000
        target.codes[200] = 100
    body = render(registry_of(metrics))
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def running(address: str) -> dict[str, object]:
    """The status of a pod that serves."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": SINCE}
    container = {"started": True, "restartCount": 0, "state": {"running": {"startedAt": SINCE}}}
    return {"phase": "Running", "podIP": address, "conditions": [ready], "containerStatuses": [container]}


async def fill(api: FakeApiServer, pools: int, replicas: int, gateways: int, port: int) -> None:
    """All objects are there, and all pods serve; each has an address of its own on this machine."""
    base, more = divmod(replicas, pools)
    made = 0
    for number in range(pools):
        name, count = f"pool-{number:03}", base + (number < more)
        await api.put(DEPLOYMENTS, deployment(name, count))
        spec = {"engine": {"port": port}, "replicas": {"min": count, "max": count + 2}}
        await api.put(MODEL_POOLS, model_pool(name, **spec))
        owner = {"kind": "ReplicaSet", "name": f"{name}-abc", "controller": True}
        for _ in range(count):
            made += 1
            metadata = {"name": f"{name}-abc-{made}", "labels": {"app": name}, "ownerReferences": [owner]}
            status = running(f"127.1.{made // 250}.{made % 250 + 1}")
            await api.put(PODS, {"metadata": metadata, "spec": {"nodeName": "n"}, "status": status})
    for number in range(gateways):
        metadata = {"name": f"gateway-{number}", "labels": GATEWAY_LABELS}
        await api.put(
            PODS, {"metadata": metadata, "spec": {"nodeName": "n"}, "status": running(f"127.2.0.{number + 1}")}
        )


async def serve(given: argparse.Namespace, ports: tuple[int, int], place: Path) -> None:
    """API, engines and gateways, until it is ended; writes a kubeconfig once they answer."""
    loop = asyncio.get_running_loop()
    engine_port, admin_port = ports
    answer = gateway_answer(given.pools)
    await loop.create_server(lambda: Page(ANSWER), "0.0.0.0", engine_port, backlog=1024)
    await loop.create_server(lambda: Page(answer), "0.0.0.0", admin_port)
    async with running_apiserver() as api:
        await fill(api, given.pools, given.replicas, given.gateways, engine_port)
        await api.compact()  # watches look through the log of all changes
        context = {"cluster": "c", "user": "u", "namespace": "models"}
        document = {
            "current-context": "k",
            "contexts": [{"name": "k", "context": context}],
            "clusters": [{"name": "c", "cluster": {"server": api.url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        draft = place.with_suffix(".draft")
        draft.write_text(json.dumps(document))
        draft.rename(place)
        await asyncio.Event().wait()


def _serve(given: argparse.Namespace, ports: tuple[int, int], place: Path) -> None:
    asyncio.run(serve(given, ports, place))


async def _figures(port: int) -> dict[str, float]:
    """Of the controller; a busy machine keeps it from answering at once."""
    while True:
        try:
            text = await page(port, "/metrics")
            break
        except TimeoutError:
            continue
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def measure(process: subprocess.Popen[bytes], port: int, seconds: float) -> None:
    """Prints what it costs once it has settled."""
    began_s = time.monotonic()
    while True:
        assert process.poll() is None, "the controller has ended"
        assert time.monotonic() - began_s < READY_S, "no tick was done"
        try:
            if (await _figures(port)).get(f"{TICK}_count", 0.0) >= 1:
                break
        except OSError:
            pass
        await asyncio.sleep(0.1)
    print(f"first tick done {time.monotonic() - began_s:.2f} s after start")
    await asyncio.sleep(15.0)  # statuses of the start
    seen = psutil.Process(process.pid)
    times, before, began_s = seen.cpu_times(), await _figures(port), time.monotonic()
    await asyncio.sleep(seconds)
    after, later, took_s = await _figures(port), seen.cpu_times(), time.monotonic() - began_s
    ticks = after[f"{TICK}_count"] - before[f"{TICK}_count"]
    cpu_s = later.user + later.system - times.user - times.system
    wall_s = (after[f"{TICK}_sum"] - before[f"{TICK}_sum"]) / max(1.0, ticks)
    print(f"{ticks:.0f} ticks in {took_s:.1f} s: {wall_s:.3f} s each, {cpu_s / max(1.0, ticks):.3f} s of CPU each")
    print(f"resident {seen.memory_info().rss / 2**20:.0f} MiB; load average {os.getloadavg()[0]:.1f}")


def main() -> None:
    """One controller, started and measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.control_tick", description=__doc__)
    parser.add_argument("--pools", type=int, default=200)
    parser.add_argument("--replicas", type=int, default=500)
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--profile", type=Path, help="also run it under cProfile, and leave its figures here")
    given = parser.parse_args()
    context = get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as name:
        folder = Path(name)
        engine_port, admin_port, port = free_ports(3)
        kubeconfig = folder / "kubeconfig"
        world = context.Process(target=_serve, args=(given, (engine_port, admin_port), kubeconfig), daemon=True)
        world.start()
        while not kubeconfig.exists():
            assert world.is_alive(), "there is no API"
            time.sleep(0.1)
        file = folder / "spillway.yaml"
        file.write_text(json.dumps({"controller": {"port": port}, "gateway": {"admin_port": admin_port}}))
        watched = [] if given.profile is None else ["-m", "cProfile", "-o", str(given.profile)]
        command = [sys.executable, *watched, "-m", "controller.cli.main", "controller", "-c", str(file)]
        command += ["--state-dir", str(folder / "state"), "--platform", "kubernetes"]
        environ = {**os.environ, "KUBECONFIG": str(kubeconfig), "SPILLWAY_POD_NAME": "controller-0"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            asyncio.run(measure(process, port, given.seconds))
        except BaseException:
            sys.stderr.write((folder / "log").read_text(errors="replace")[-3000:])
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            began_s = time.monotonic()
            process.wait(STOP_S)
            print(f"stopped after {time.monotonic() - began_s:.2f} s")
            world.terminate()


if __name__ == "__main__":
    main()
