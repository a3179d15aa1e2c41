"""What is measured: each target is a real process pinned to its own core, in front of the same mock upstream."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from controller.adapters.fleet_file import FleetFile
from controller.core.fleet import FleetView, PoolView, Replica, ReplicaState

ROOT = Path(__file__).resolve().parents[2]
LITELLM = ROOT / ".venv-bench-litellm" / "bin" / "litellm"
READY_DEADLINE_S = 90.0
STOP_DEADLINE_S = 15.0
POOL = "llama-8b"
PEER_KEY = "sk-bench"


class TargetDown(Exception):
    """A target did not become ready; the message holds the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A running target. `process` is None for the mock itself."""

    name: str
    port: int
    model: str
    headers: Mapping[str, str]
    process: psutil.Process | None = None
    ready_s: float | None = None

    def cpu_s(self) -> float:
        """User and system seconds of the process and its children so far."""
        if self.process is None:
            return float("nan")
        times = [process.cpu_times() for process in (self.process, *self.process.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def rss_mb(self) -> float:
        """Resident memory of the process and its children."""
        if self.process is None:
            return float("nan")
        processes = (self.process, *self.process.children(recursive=True))
        return sum(process.memory_info().rss for process in processes) / 1e6


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def _answers(port: int, path: str) -> bool:
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
            line = await reader.readline()
            writer.close()
            return line.split(b" ")[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False


@contextlib.asynccontextmanager
async def process(
    command: list[str], *, core: int, log: Path, environ: Mapping[str, str], ready: tuple[int, str]
) -> AsyncIterator[tuple[psutil.Process, float]]:
    """A process on one core that answers 200 on (port, path), and the seconds that took; afterwards it is gone."""
    started_s = time.perf_counter()
    with log.open("wb") as sink:
        child = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env={**os.environ, **environ}, cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
    try:
        while not await _answers(*ready):
            if child.poll() is not None or time.perf_counter() - started_s > READY_DEADLINE_S:
                raise TargetDown(f"{' '.join(command[:6])} ended with {child.poll()}: {log.read_text()[-1500:]}")
            await asyncio.sleep(0.02)
        yield psutil.Process(child.pid), time.perf_counter() - started_s
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(timeout=STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextlib.asynccontextmanager
async def mock(folder: Path, *, core: int) -> AsyncIterator[Target]:
    """The mock upstream, which is also the target `direct`."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.mock", "--port", str(port)]
    async with process(command, core=core, log=folder / "mock.log", environ={}, ready=(port, "/health")):
        yield Target(name="direct", port=port, model="bench", headers={})


def _make_key(config: Path, state_dir: Path) -> str:
    command = [sys.executable, "-m", "controller.cli.main", "keys", "create", "bench", "--tenant", "bench"]
    options = ["--config", str(config), "--state-dir", str(state_dir)]
    return subprocess.run([*command, *options], check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def _publish_fleet(state_dir: Path, upstream_port: int) -> None:
    now_s = time.time()
    replica = Replica(
        replica_id=f"{POOL}-bench", pool=POOL, url=f"http://127.0.0.1:{upstream_port}", state=ReplicaState.READY,
        started_at_s=now_s - 120, ready_at_s=now_s - 60, seen_at_s=now_s, simulated=True,
    )  # fmt: skip
    view = PoolView(name=POOL, replicas=(replica,), mode_since_s=now_s - 60, mode_reason="bench")
    FleetFile(state_dir).publish(FleetView(revision=1, published_at_s=now_s, pools={POOL: view}))


@contextlib.asynccontextmanager
async def spillway(folder: Path, upstream: Target, *, core: int) -> AsyncIterator[Target]:
    """The gateway as `spillway gateway` starts it, with everything on; the fleet view names the mock as a replica."""
    port, admin_port = free_port(), free_port()
    config, state_dir = folder / "spillway.yaml", folder / "state"
    config.write_text(
        f"gateway: {{port: {port}, admin_port: {admin_port}}}\n"
        f"pools:\n  - {{name: {POOL}, model: llama-8b-self, instance_type: p4de.24xlarge,\n"
        # A saturation test that never fires: the mock has no queue and no KV cache; what is measured is the gateway.
        "     engine: {tensor_parallel: 2, max_model_len_tokens: 131072, max_num_seqs: 1024,\n"
        "              max_num_batched_tokens: 262144},\n"
        "     slo: {ttft_p95_s: 600, tpot_p95_s: 1}, replicas: {min: 1, max: 1}, spill: {to: []}}\n"
    )
    key = _make_key(config, state_dir)
    _publish_fleet(state_dir, upstream.port)
    command = [sys.executable, "-m", "controller.cli.main", "gateway", "--config", str(config)]
    async with process(
        [*command, "--state-dir", str(state_dir)],
        core=core, log=folder / "spillway.log", environ={}, ready=(admin_port, "/readyz"),
    ) as (child, ready_s):  # fmt: skip
        headers = {"authorization": f"Bearer {key}"}
        yield Target(name="spillway", port=port, model=POOL, headers=headers, process=child, ready_s=ready_s)


@contextlib.asynccontextmanager
async def litellm(folder: Path, upstream: Target, *, core: int) -> AsyncIterator[Target]:
    """LiteLLM's proxy with one worker and a master key: fewer duties than ours has (no ledger, no budgets)."""
    if not LITELLM.exists():
        raise TargetDown("not installed; run: scripts/bench-env.sh")
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n  - model_name: bench\n    litellm_params: {{model: openai/bench, "
        f"api_base: 'http://127.0.0.1:{upstream.port}/v1', api_key: none}}\n"
        f"general_settings: {{master_key: {PEER_KEY}}}\n"
        "litellm_settings: {num_retries: 0, telemetry: false}\n"
    )
    environ = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_DOCS": "True"}
    command = [str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    async with process(
        command, core=core, log=folder / "litellm.log", environ=environ, ready=(port, "/health/liveliness")
    ) as (child, ready_s):
        headers = {"authorization": f"Bearer {PEER_KEY}"}
        yield Target(name="litellm", port=port, model="bench", headers=headers, process=child, ready_s=ready_s)


TARGETS = {"spillway": spillway, "litellm": litellm}


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
