"""What is measured: the mock upstream, and in front of it the gateway and its peers."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from controller.adapters.fleet_file import FleetFile
from controller.adapters.peppers import load_pepper
from controller.core.fleet import FleetView, PoolView, Replica, ReplicaState
from tests.bench import peers
from tests.bench.mock import GAP_S
from tests.bench.processes import ROOT, Target, free_port, process

POOL = "llama-8b"


@contextlib.asynccontextmanager
async def mock(folder: Path, *, core: int, gap_s: float = GAP_S) -> AsyncIterator[Target]:
    """The mock upstream, which is also the target `direct`."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.mock", "--port", str(port), "--gap-s", str(gap_s)]
    async with process(command, core=core, log=folder / "mock.log", environ={}, ready=(port, "/health")):
        yield Target(name="direct", port=port, model="bench", headers={})


def make_key(config: Path, state_dir: Path) -> str:
    """A new key of the tenant `bench`, in a state folder that the gateway will find."""
    load_pepper(state_dir / "pepper")
    command = [sys.executable, "-m", "controller.cli.main", "keys", "create", "bench", "--tenant", "bench"]
    options = ["--config", str(config), "--state-dir", str(state_dir)]
    return subprocess.run([*command, *options], check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def publish_fleet(state_dir: Path, upstream_port: int, count: int) -> None:
    """Afterwards the pool has so many ready replicas at this port."""
    now_s = time.time()
    replicas = tuple(
        Replica(
            replica_id=f"{POOL}-bench-{number}", pool=POOL, url=f"http://127.0.0.1:{upstream_port}",
            state=ReplicaState.READY, started_at_s=now_s - 120, ready_at_s=now_s - 60, seen_at_s=now_s, simulated=True,
        )
        for number in range(count)
    )  # fmt: skip
    view = PoolView(name=POOL, replicas=replicas, mode_since_s=now_s - 60, mode_reason="bench")
    FleetFile(state_dir).publish(FleetView(revision=1, published_at_s=now_s, pools={POOL: view}))


def prepare(
    folder: Path, upstream_port: int, *, port: int, admin_port: int, replicas: int = 1, in_flight: int = 4096
) -> str:
    """Configuration and state of a gateway in the folder, and a key for it."""
    config, state_dir = folder / "spillway.yaml", folder / "state"
    config.write_text(
        f"gateway: {{port: {port}, admin_port: {admin_port}, caps: {{in_flight: {in_flight}}}}}\n"
        f"pools:\n  - {{name: {POOL}, model: llama-8b-self, instance_type: p4de.24xlarge,\n"
        # A saturation test that never fires: the mock has no queue and no KV cache; what is measured is the gateway.
        "     engine: {tensor_parallel: 2, max_model_len_tokens: 131072, max_num_seqs: 4096,\n"
        "              max_num_batched_tokens: 262144},\n"
        "     slo: {ttft_p95_s: 600, tpot_p95_s: 1}, replicas: {min: 1, max: 4}, spill: {to: []}}\n"
    )
    publish_fleet(state_dir, upstream_port, replicas)
    return make_key(config, state_dir)


@contextlib.asynccontextmanager
async def spillway(
    folder: Path, upstream: Target, *, core: int, replicas: int = 1, in_flight: int = 4096
) -> AsyncIterator[Target]:
    """The gateway as `spillway gateway` starts it, with everything on; its fleet view names the mock as replicas."""
    port, admin_port = free_port(), free_port()
    key = prepare(folder, upstream.port, port=port, admin_port=admin_port, replicas=replicas, in_flight=in_flight)
    config, state_dir = folder / "spillway.yaml", folder / "state"
    command = [sys.executable, "-m", "controller.cli.main", "gateway", "--config", str(config)]
    async with process(
        [*command, "--state-dir", str(state_dir)],
        core=core, log=folder / "spillway.log", environ={}, ready=(admin_port, "/readyz"),
    ) as (child, ready_s):  # fmt: skip
        headers = {"authorization": f"Bearer {key}"}
        yield Target(
            name="spillway", port=port, model=POOL, headers=headers, process=child, ready_s=ready_s,
            admin_port=admin_port,
        )  # fmt: skip


TARGETS = {
    "spillway": spillway,
    "nginx": peers.nginx,
    "vllm-router": peers.vllm_router,
    "sglang-router": peers.sglang_router,
    "litellm": peers.litellm,
}


def machine() -> str:
    """The machine in words, for the foot of the table."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{psutil.cpu_count()} cores, {found[1] if found else 'unknown CPU'}, Python {sys.version.split()[0]}"


def needs() -> str | None:
    """What this machine lacks to run the bench, or None."""
    if shutil.which("taskset") is None:
        return "taskset (util-linux) is needed to pin processes to cores"
    if len(os.sched_getaffinity(0)) < 2:
        return "two cores are needed: one for the target, one for the mock and the load"
    return None
