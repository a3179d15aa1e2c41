"""Several gateways before one pool that gets too much at once: `python -m tests.bench.three_gateways [--gateways N]`.

One simulated engine, a controller that scrapes it and all gateways, and a stand-in provider to spill to. Demand steps
from a third of the pool's capacity to eight times as much, spread over the gateways at random, each of which sees its
own requests only. From the moment at which a request comes that its own engine then answers later than the SLO, how
long is it until the first request is spilled, and how many are late by then?
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from controller.adapters.key_store import KeyTable
from controller.autoscale.capacity import gpu_seconds_per_request
from controller.config.load import load_settings
from controller.core.pools import EngineArgs, Slo
from tests.e2e.stack import free_ports
from tests.faults.caller import Told, ask, request_bytes
from tests.faults.gateway_process import page

POOL, MODEL, SHAPE = "llama-8b", "llama-8b-self", "g5.2xlarge"
SLO = Slo(ttft_p95_s=0.8, tpot_p95_s=0.1)
WORDS, INPUT_TOKENS, OUTPUT_TOKENS = 380, 512, 120
CALM, CROWDED = 0.33, 8.0  # times the capacity
CALM_S, CROWDED_S = 12.0, 8.0
READY_S, STOP_S, POLL_S = 120.0, 20.0, 0.02
SLOTS = 32
LOAD = re.compile(r"^vllm:num_requests_(running|waiting)\{\S* (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One run, in seconds. `queued_to_spilled_s`: from when requests waited in an engine without a free slot."""

    late_to_spilled_s: float
    queued_to_spilled_s: float
    step_to_spilled_s: float
    late_before: int
    late: int
    spilled: int
    requests: int


class Stage:
    """The processes of a run, and their ports."""

    def __init__(self, folder: Path, gateways: int) -> None:
        self.folder = folder
        ports = free_ports(2 * gateways + 3)
        self.engine_port, self.standin_port, self.controller_port, *rest = ports
        self.gateways = list(zip(rest[::2], rest[1::2], strict=True))
        keys = KeyTable(folder / "state" / "spillway.db", folder / "state" / "pepper")
        self.key, _ = keys.create("bench", "bench", now_s=time.time())
        keys.close()

    def config(self, port: int, admin_port: int) -> Path:
        """spillway.yaml of one process."""
        admin = [f"http://127.0.0.1:{one}" for _, one in self.gateways]
        engine = {"max_num_seqs": SLOTS, "max_model_len_tokens": 8192}
        pool = {
            "name": POOL,
            "model": MODEL,
            "instance_type": SHAPE,
            "engine": engine,
            "slo": {"ttft_p95_s": SLO.ttft_p95_s, "tpot_p95_s": SLO.tpot_p95_s},
            "spill": {"to": ["gpt-6-luna"], "min_dwell_s": 5.0},
            "endpoints": [f"http://127.0.0.1:{self.engine_port}"],
        }
        file = self.folder / f"{port}.yaml"
        file.write_text(
            json.dumps(
                {
                    "phase": "phase3",
                    "gateway": {"port": port, "admin_port": admin_port},
                    "controller": {"port": self.controller_port, "gateways": admin},
                    "pools": [pool],
                }
            )
        )
        return file

    def commands(self) -> Sequence[Sequence[str]]:
        """Everything that runs."""
        spillway = [sys.executable, "-m", "controller.cli.main"]
        state = ["--state-dir", str(self.folder / "state")]
        engine = [
            "--model-key",
            MODEL,
            "--instance-type",
            SHAPE,
            "--max-num-seqs",
            str(SLOTS),
            "--port",
            str(self.engine_port),
        ]
        gateways = [
            [*spillway, "gateway", "-c", str(self.config(port, admin)), *state] for port, admin in self.gateways
        ]
        controller = [*spillway, "controller", "-c", str(self.config(*self.gateways[0])), *state]
        standin = [*spillway, "engine-sim", "provider", "--port", str(self.standin_port)]
        return [[*spillway, "engine-sim", *engine], standin, controller, *gateways]

    async def ready(self) -> None:
        """Returns once every gateway has a ready replica."""
        await self._all_say(lambda pool: bool(pool["ready"]))

    async def calm(self) -> None:
        """Returns once no gateway spills any more."""
        await self._all_say(lambda pool: pool["mode"] == "Local" and not pool["spill_ratio"])

    async def _all_say(self, holds: Callable[[dict[str, object]], bool]) -> None:
        deadline_s = time.monotonic() + READY_S
        for _, admin in self.gateways:
            while True:
                with contextlib.suppress(OSError, KeyError, ValueError):
                    if holds(json.loads(await page(admin, "/v1/loads"))["pools"][POOL]):
                        break
                if time.monotonic() > deadline_s:
                    raise SystemExit(f"not so within {READY_S:g} s; see {self.folder}")
                await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def staged(folder: Path, gateways: int) -> AsyncIterator[Stage]:
    """Until the end of the block."""
    (folder / "state").mkdir()
    stage = Stage(folder, gateways)
    environ = {**os.environ, "SPILLWAY_STANDIN_URL": f"http://127.0.0.1:{stage.standin_port}"}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(stage.commands()):
            with (folder / f"{number}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(command, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
                )
        await stage.ready()
        yield stage
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def capacity_per_s() -> float:
    """Requests of this size that the engine serves within its SLO."""
    settings = load_settings(None, {}, today=datetime.now(UTC).date())
    steps = settings.step_times[POOL]
    engine = EngineArgs(max_num_seqs=SLOTS)
    return 1.0 / gpu_seconds_per_request(steps, engine, SLO, input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS)


async def _queue_began(stage: Stage, found: list[float]) -> None:
    """Notes when requests first wait for a slot after the step; with slots free they wait for the next batch alone."""
    while not found:
        load = {name: float(value) for name, value in LOAD.findall(await page(stage.engine_port, "/metrics"))}
        if load["waiting"] > 0 and load["running"] >= SLOTS:
            found.append(time.monotonic())
        await asyncio.sleep(POLL_S)


async def run(stage: Stage, seed: int) -> Figures:
    """Demand that steps up, and what became of each request."""
    chance, rate_per_s = random.Random(seed), capacity_per_s()
    document = {
        "model": POOL,
        "messages": [{"role": "user", "content": "word " * WORDS}],
        "max_tokens": OUTPUT_TOKENS,
        "stream": True,
    }
    request, tasks, queued = request_bytes(stage.key, document), list[asyncio.Task[Told]](), list[float]()
    step_s, watching = 0.0, None
    for times, lasts_s in ((CALM, CALM_S), (CROWDED, CROWDED_S)):
        step_s = due_s = time.monotonic()
        if times == CROWDED:
            watching = asyncio.create_task(_queue_began(stage, queued))
        end_s = due_s + lasts_s
        while (due_s := due_s + chance.expovariate(times * rate_per_s)) < end_s:
            await asyncio.sleep(due_s - time.monotonic())
            port, _ = chance.choice(stage.gateways)
            tasks.append(asyncio.create_task(ask(port, request, stream=True)))
    heard = [one for one in await asyncio.gather(*tasks) if one.sent_s >= step_s]
    if watching is not None:
        watching.cancel()
    return figures(heard, step_s, queued[0] if queued else float("nan"))


def figures(heard: Sequence[Told], step_s: float, queued_s: float) -> Figures:
    """Of the requests since the step."""
    spilled = [one for one in heard if "x-spillway-spilled" in one.headers]
    late = [
        one
        for one in heard
        if one not in spilled and (one.first_s is None or one.first_s - one.sent_s > SLO.ttft_p95_s)
    ]
    first_s = min((one.sent_s for one in spilled), default=float("nan"))
    late_s = min((one.sent_s for one in late), default=first_s)
    return Figures(
        late_to_spilled_s=max(0.0, first_s - late_s),
        queued_to_spilled_s=max(0.0, first_s - queued_s),
        step_to_spilled_s=first_s - step_s,
        late_before=sum(one.sent_s < first_s for one in late),
        late=len(late),
        spilled=len(spilled),
        requests=len(heard),
    )


def told(one: Figures) -> str:
    """In words."""
    return (
        f"spilled {one.late_to_spilled_s:.2f} s after the first request that was late,"
        f" {one.queued_to_spilled_s:.2f} s after the engine's queue began, {one.step_to_spilled_s:.2f} s after step;"
        f" {one.late_before} late by then, {one.late} in all; {one.spilled} of {one.requests} spilled"
    )


async def _main(gateways: int, seeds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as place:
        async with staged(Path(place), gateways) as stage:
            print(f"{gateways} gateways, capacity {capacity_per_s():.2f} requests/s, then {CROWDED:g} times as much")
            found = []
            for seed in range(1, seeds + 1):
                one = await run(stage, seed)
                found.append(one)
                print(f"seed {seed}: {told(one)}", flush=True)
                await stage.calm()
    waits_s = [one.late_to_spilled_s for one in found]
    load = os.getloadavg()[0]
    print(f"median {median(waits_s):.2f} s, worst {max(waits_s):.2f} s (to reach: 1 s); load average {load:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.three_gateways", description=__doc__)
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    asyncio.run(_main(given.gateways, given.seeds))
