"""Overload for real: `python -m tests.bench.overload_real`, a gateway process before a simulated engine process.

Arrivals are random at so many times what the engine bears, each on a connection of its own, from this process. Times
are those of the wall. The engine is slow on purpose: at ten times its capacity all three need a fraction of a core.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil
import uvloop

from tests.bench.load import request_bytes
from tests.bench.processes import free_port, process
from tests.bench.targets import POOL, make_key, publish_fleet
from tests.gateway.overload_world import percentile

LOADS = (0.7, 1.0, 1.2, 1.5, 2.0, 5.0, 10.0)
SLOTS, SLO_S, SPEED = 16, 2.0, 0.5
SHORT_TOKENS, LONG_TOKENS = 32, 96
WARM_UP_S, MEASURED_S, REST_S = 8.0, 30.0, 8.0  # in its first seconds no load can be told from a burst
ANSWER_DEADLINE_S = 60.0
LOOK_S = 0.25
CONFIG = """
gateway: {{port: {port}, admin_port: {admin_port}}}
pools:
  - name: {pool}
    model: llama-8b-self
    instance_type: g5.2xlarge
    engine: {{max_num_seqs: {slots}}}
    slo: {{ttft_p95_s: {slo_s}, tpot_p95_s: 1}}
    replicas: {{min: 1, max: 1}}
    spill: {{to: []}}
"""
HEAD = (
    "load  offered/s  goodput/s  of peak  answered  late  refused  failed  ttft p99 s  refused p50, p99 ms"
    "  engine busy, waiting  tokens/s  cores used  load average"
)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What one caller heard. `first_s`: from asking to the first token, or to the refusal."""

    asked_s: float
    status: int
    first_s: float
    whole: bool


@dataclass(kw_only=True)
class Scene:
    """What runs, and what was seen of it while it was measured."""

    port: int
    engine_port: int
    key: str
    processes: Sequence[psutil.Process]
    chance: Random

    def request(self) -> bytes:
        """One of an answer whose length is chance."""
        body = {
            "model": POOL, "messages": [{"role": "user", "content": "Count."}], "stream": True,
            "max_tokens": self.chance.randint(SHORT_TOKENS, LONG_TOKENS), "ignore_eos": True,
        }  # fmt: skip
        return request_bytes(self.port, body, {"authorization": f"Bearer {self.key}"})

    def cpu_s(self) -> float:
        """Of all three processes so far."""
        times = [one.cpu_times() for one in self.processes]
        return sum(one.user + one.system for one in times)

    async def looked(self) -> tuple[float, float, float]:
        """Requests that the engine computes and has waiting, and tokens that it has written so far."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.engine_port)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        page = (await reader.read()).decode()
        writer.close()
        names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:generation_tokens_total")
        running, waiting, tokens = (_value(page, name) for name in names)
        return running, waiting, tokens


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Means over the time measured."""

    running: float
    waiting: float
    tokens_per_s: float
    cores: float


def _value(page: str, name: str) -> float:
    return next(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(f"{name}{{"))


async def _ask(port: int, request: bytes) -> Heard:
    """One request on its own connection, read to its end; status 0 when there was no answer."""
    asked_s = time.perf_counter()
    status, first_s, tail = 0, 0.0, b""
    try:
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            status = int((await reader.readline()).split()[1])
            while data := await reader.read(65536):
                tail = tail[-64:] + data
                if not first_s and (status != 200 or b"data: {" in data):
                    first_s = time.perf_counter() - asked_s
                if status != 200 or b"[DONE]" in tail:
                    break
            writer.close()
    except (OSError, TimeoutError, IndexError):
        status = 0
    return Heard(asked_s=asked_s, status=status, first_s=first_s, whole=b"[DONE]" in tail)


async def _watched(scene: Scene) -> Seen:
    """What the engine did after the warm-up, and what all of it cost."""
    await asyncio.sleep(WARM_UP_S)
    seen, began_s, cpu_s = [], time.perf_counter(), scene.cpu_s()
    while time.perf_counter() - began_s < MEASURED_S:
        seen.append(await scene.looked())
        await asyncio.sleep(LOOK_S)
    took_s = time.perf_counter() - began_s
    running, waiting, _ = (sum(values) / len(seen) for values in zip(*seen, strict=True))
    tokens_per_s = (seen[-1][2] - seen[0][2]) / took_s
    return Seen(running=running, waiting=waiting, tokens_per_s=tokens_per_s, cores=(scene.cpu_s() - cpu_s) / took_s)


async def _offered(scene: Scene, per_s: float) -> tuple[list[Heard], Seen]:
    """What callers heard that came at random after the warm-up."""
    tasks, began_s, due_s = [], time.perf_counter(), 0.0
    watching = asyncio.create_task(_watched(scene), name="watcher")
    while due_s < WARM_UP_S + MEASURED_S:
        await asyncio.sleep(max(0.0, began_s + due_s - time.perf_counter()))
        tasks.append(asyncio.create_task(_ask(scene.port, scene.request()), name="caller"))
        due_s += scene.chance.expovariate(per_s)
    heard = await asyncio.gather(*tasks)
    return [one for one in heard if one.asked_s >= began_s + WARM_UP_S], await watching


async def _capacity_per_s(scene: Scene) -> float:
    """Answers a second with every slot taken and nobody waiting."""
    began_s, answered = time.perf_counter(), 0

    async def caller() -> None:
        nonlocal answered
        while (asked_s := time.perf_counter() - began_s) < WARM_UP_S + MEASURED_S:
            heard = await _ask(scene.port, scene.request())
            answered += heard.whole and asked_s >= WARM_UP_S

    await asyncio.gather(*(caller() for _ in range(SLOTS)))
    return answered / MEASURED_S


def _good_per_s(heard: Sequence[Heard]) -> float:
    return sum(one.whole and one.first_s <= SLO_S for one in heard) / MEASURED_S


def _line(ratio: float, heard: Sequence[Heard], seen: Seen, peak_per_s: float) -> str:
    first_s = [one.first_s for one in heard if one.whole]
    refused_s = [one.first_s for one in heard if one.status == 429]
    late, failed = sum(one > SLO_S for one in first_s), len(heard) - len(first_s) - len(refused_s)
    good = _good_per_s(heard)
    return (
        f"{ratio:4g}x {len(heard) / MEASURED_S:9.2f} {good:10.2f} {good / peak_per_s:8.0%} {len(first_s):9d} {late:5d}"
        f" {len(refused_s):8d} {failed:7d} {percentile(first_s, 0.99):11.2f}"
        f" {1000 * percentile(refused_s, 0.5):12.1f} {1000 * percentile(refused_s, 0.99):7.1f}"
        f" {seen.running / SLOTS:12.0%} {seen.waiting:9.1f} {seen.tokens_per_s:9.0f} {seen.cores:11.2f}"
        f" {os.getloadavg()[0]:13.1f}"
    )


async def _measured(scene: Scene, loads: Sequence[float]) -> None:
    """Prints a line per load as it is measured, then all of them against the best."""
    capacity_per_s = await _capacity_per_s(scene)
    print(f"capacity {capacity_per_s:.2f} requests/s; good: whole, and the first token within {SLO_S:g} s")
    found: dict[float, tuple[list[Heard], Seen]] = {}
    for ratio in loads:
        await asyncio.sleep(REST_S)
        found[ratio] = await _offered(scene, capacity_per_s * ratio)
        print(f"{ratio:g}x: {_good_per_s(found[ratio][0]):.2f}/s good", file=sys.stderr, flush=True)
    peak_per_s = max(capacity_per_s, *(_good_per_s(heard) for heard, _ in found.values()))
    print(HEAD)
    for ratio, (heard, seen) in found.items():
        print(_line(ratio, heard, seen, peak_per_s), flush=True)


@asynccontextmanager
async def _scene(folder: Path) -> AsyncIterator[Scene]:
    port, admin_port, engine_port = free_port(), free_port(), free_port()
    config, state_dir = folder / "spillway.yaml", folder / "state"
    config.write_text(CONFIG.format(port=port, admin_port=admin_port, pool=POOL, slots=SLOTS, slo_s=SLO_S))
    publish_fleet(state_dir, engine_port, 1)
    key = make_key(config, state_dir)
    engine = [
        *(sys.executable, "-m", "controller.engine_sim", "--port", str(engine_port), "--model-key", "llama-8b-self"),
        *("--instance-type", "g5.2xlarge", "--max-num-seqs", str(SLOTS), "--speed", str(SPEED)),
    ]
    gateway = [
        *(sys.executable, "-m", "controller.cli.main", "gateway", "--config", str(config)),
        *("--state-dir", str(state_dir)),
    ]
    of_engine, of_gateway = (engine_port, "/health"), (admin_port, "/readyz")
    keys = {"SPILLWAY_ENGINE_KEY": "bench"}
    async with (
        process(engine, core=None, log=folder / "engine.log", environ={}, ready=of_engine) as (simulated, _),
        process(gateway, core=None, log=folder / "gateway.log", environ=keys, ready=of_gateway) as (real, _),
    ):
        processes = (simulated, real, psutil.Process())
        yield Scene(port=port, engine_port=engine_port, key=key, processes=processes, chance=Random(1))


async def _main(folder: Path, loads: Sequence[float]) -> None:
    async with _scene(folder) as scene:
        await _measured(scene, loads)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overload_real")
    parser.add_argument("--loads", type=float, nargs="+", default=LOADS, help="times the capacity")
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as place:
        uvloop.run(_main(Path(place), parser.parse_args().loads))
