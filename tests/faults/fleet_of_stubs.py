"""A real controller process over stub engines: it takes them for replicas that an earlier controller has started.

Each has a record on disk with the process id of a stand-in that only sleeps, and the stub's address. What the
controller starts besides are simulated engines; all is stopped by the records.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from controller.adapters.fleet_file import FleetFile
from controller.adapters.replica_records import ReplicaRecord, ReplicaRecords, stop_recorded
from controller.core.fleet import FleetView, PoolView, Replica, ReplicaState, RoutingMode
from tests.faults.gateway_process import POOL, GatewayProcess, page
from tests.faults.stub import Stub
from tests.faults.world import eventually

OLD_S = 600.0
STOP_S = 10.0


@contextlib.contextmanager
def stand_ins(folder: Path, stubs: Sequence[Stub], spill_ratio: float) -> Iterator[None]:
    """The records and the last view of a controller that is gone: all ready, and this share of requests leaves."""
    state_dir, now_s = folder / "state", time.time()
    records = ReplicaRecords(state_dir)
    sleepers, replicas = [], []
    for stub in stubs:
        sleeper = subprocess.Popen(["sleep", "600"])
        sleepers.append(sleeper)
        known = {"replica_id": stub.name, "pool": POOL, "url": stub.url, "started_at_s": now_s - OLD_S}
        times = {"ready_at_s": now_s - OLD_S / 2, "simulated": True}
        started_s = psutil.Process(sleeper.pid).create_time()
        records.save(ReplicaRecord(pid=sleeper.pid, create_time=started_s, **known, **times))
        replicas.append(Replica(state=ReplicaState.READY, **known, **times))
    view = PoolView(
        name=POOL,
        replicas=tuple(replicas),
        mode=RoutingMode.SPILLING,
        spill_ratio=spill_ratio,
        mode_since_s=now_s - OLD_S,
        mode_reason="as its predecessor left it",
    )
    FleetFile(state_dir).publish(FleetView(revision=1, published_at_s=now_s, pools={POOL: view}))
    try:
        yield
    finally:
        stop_recorded(state_dir, grace_s=2.0)
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


@dataclass
class ControllerProcess:
    """A running controller."""

    process: subprocess.Popen[bytes]
    port: int
    records: ReplicaRecords

    async def pool(self) -> Mapping[str, object]:
        """The pool as it publishes it."""
        return dict(json.loads(await page(self.port, "/v1/status"))["pools"][POOL])

    async def metric(self, name: str) -> float:
        """Sum over all series of one metric."""
        lines = (await page(self.port, "/metrics")).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def replicas(self) -> dict[str, str]:
        """What is recorded on disk, and in which state."""
        return {record.replica_id: record.state for record in self.records.load()}


@contextlib.asynccontextmanager
async def controller(gateway: GatewayProcess, port: int) -> AsyncIterator[ControllerProcess]:
    """One that has ticked; afterwards it is gone."""
    command = [sys.executable, "-m", "controller.cli.main", "controller", "-c", str(gateway.folder / "spillway.yaml")]
    with (gateway.folder / "controller.log").open("wb") as sink:
        process = subprocess.Popen(
            [*command, "--state-dir", str(gateway.state_dir)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=dict(gateway.environ),
        )
    made = ControllerProcess(process, port, ReplicaRecords(gateway.state_dir))

    async def has_ticked() -> bool:
        try:
            return (await page(port, "/readyz")).startswith("ok")
        except OSError:
            return False

    try:
        await eventually(has_ticked, within_s=20.0, every_s=0.05)
        yield made
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
