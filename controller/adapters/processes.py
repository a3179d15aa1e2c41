"""The platform of one machine: a replica is a process with an address, a state and a cold start.

Satisfies `loop.ports.Platform`. Every fact is on disk (`replica_records`), so a restarted controller finds its
replicas again. Stopping never blocks a tick: `remove` sends SIGTERM, later listings send SIGKILL when it was ignored.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import httpx
import structlog

from controller.adapters.engine_commands import Launch, check_model_dirs, sim_command, vllm_command
from controller.adapters.replica_records import (
    ReplicaRecord,
    ReplicaRecords,
    ask_to_stop,
    is_alive,
    kill,
    kill_rest,
    start_time,
)
from controller.config.settings import Settings
from controller.core.fleet import Replica, ReplicaState
from controller.core.pools import Pool
from controller.core.secret import Secret

log = structlog.get_logger()

HOST = "127.0.0.1"
KILL_AFTER_S = 10.0  # beyond the time that engines have for what is under way
LOST_AFTER_FAILED_CHECKS = 5
WARMING_DEADLINE_FACTOR = 4.0  # of the expected cold start, plus a minute: slower than that is stuck
ENGINE_KEY = "VLLM_API_KEY"  # where vLLM looks for the key that its callers must show
SECRET_SUFFIXES = ("_API_KEY", "_TOKEN", "_SECRET")

Engine = Literal["sim", "vllm"]


class LocalProcesses:
    """Starts, lists, drains and stops replica processes, and watches fixed endpoints."""

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Engine = "sim",
        python: str = sys.executable,
        environ: Mapping[str, str] | None = None,
        engine_key: Secret | None = None,
    ) -> None:
        if engine == "vllm":
            check_model_dirs(settings)
        self._settings = settings
        self._engine: Engine = engine
        self._python = python
        self._engine_key = engine_key
        self._environ = dict(os.environ if environ is None else environ)
        self._records = ReplicaRecords(settings.state_dir)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._failed_checks: dict[str, int] = {}
        self._ready_since_s: dict[str, float] = {}  # fixed endpoints
        self._client = httpx.AsyncClient(timeout=settings.controller.scrape_timeout_s, trust_env=False)

    def reconfigure(self, settings: Settings) -> None:
        """Replicas that start from now on are those of these settings; those that run stay as they were started."""
        self._settings = settings
        self._client.timeout = httpx.Timeout(settings.controller.scrape_timeout_s)

    def manages(self, pool: Pool) -> bool:
        """Whether replicas of this pool can be started and stopped here."""
        return not pool.endpoints and (self._engine == "sim" or pool.model_dir is not None)

    async def list_replicas(self, pool: Pool) -> tuple[Replica, ...]:
        """Every replica of the pool that runs or was lost; one that is being stopped is no longer listed."""
        if pool.endpoints:
            return tuple(await asyncio.gather(*(self._fixed(pool, n) for n in range(len(pool.endpoints)))))
        records = self._records.load()
        self._look_after_stopping(records)
        live = [record for record in records if record.pool == pool.name and record.state != "stopping"]
        listed = await asyncio.gather(*(self._recorded(pool, record) for record in live))
        return tuple(listed)

    async def start(self, pool: Pool) -> str:
        """Start one replica and return its id; it is warming until its health answers."""
        launch = Launch(replica_id=f"{pool.name}-{secrets.token_hex(3)}", host=HOST, port=_free_port())
        child = self._spawn(pool, launch)
        now_s = time.time()
        record = ReplicaRecord(
            replica_id=launch.replica_id,
            pool=pool.name,
            pid=child.pid,
            create_time=start_time(child.pid) or now_s,
            url=f"http://{HOST}:{launch.port}",
            started_at_s=now_s,
            simulated=self._engine == "sim",
        )
        self._records.save(record)
        self._children[launch.replica_id] = child
        log.info("replica_started", pool=pool.name, replica=launch.replica_id, pid=child.pid, url=record.url)
        return launch.replica_id

    def command(self, pool: Pool, launch: Launch) -> list[str]:
        """The command line of one replica."""
        if self._engine == "vllm":
            return vllm_command(self._settings, pool, launch, self._environ, self._python)
        return sim_command(self._settings, pool, launch, self._python)

    async def mark_draining(self, replica_id: str) -> None:
        """Afterwards the replica is listed as draining, also by a restarted controller."""
        record = self._find(replica_id)
        if record is not None and record.state == "running":
            self._records.save(replace(record, state="draining"))

    async def remove(self, replica_id: str) -> None:
        """Ask that very process to stop; it is no longer listed. Fixed endpoints are left alone."""
        record = self._find(replica_id)
        if record is None:
            return
        ask_to_stop(record)
        self._records.save(replace(record, state="stopping", stopping_since_s=time.time()))
        log.info("replica_stopping", pool=record.pool, replica=replica_id, pid=record.pid)

    async def close(self) -> None:
        """Release the health checker's connections; the replicas go on running."""
        await self._client.aclose()
        for child in self._children.values():
            if child.poll() is None:
                child.returncode = 0  # let go of it without the warning about a forgotten child: it is adopted later
        self._children.clear()

    def _spawn(self, pool: Pool, launch: Launch) -> subprocess.Popen[bytes]:
        logs = self._settings.state_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{launch.replica_id}.log").open("ab") as sink:
            return subprocess.Popen(
                self.command(pool, launch),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                env=self._engine_environ(),
            )

    def _engine_environ(self) -> dict[str, str]:
        """No secret of ours but the key that callers of the engine must show."""
        kept = {name: value for name, value in self._environ.items() if not name.endswith(SECRET_SUFFIXES)}
        return kept if self._engine_key is None else {**kept, ENGINE_KEY: self._engine_key.reveal()}

    def _find(self, replica_id: str) -> ReplicaRecord | None:
        return next((record for record in self._records.load() if record.replica_id == replica_id), None)

    def _look_after_stopping(self, records: Sequence[ReplicaRecord]) -> None:
        """Whatever their pool, for it may be gone from the configuration."""
        for record in records:
            if record.state == "stopping":
                self._finish_stopping(record, alive=self._is_alive(record))

    def _is_alive(self, record: ReplicaRecord) -> bool:
        child = self._children.get(record.replica_id)
        if child is not None:
            child.poll()  # reap, else a dead child stays a zombie
        return is_alive(record)

    async def _recorded(self, pool: Pool, record: ReplicaRecord) -> Replica:
        alive = self._is_alive(record)
        replica = Replica(
            replica_id=record.replica_id,
            pool=pool.name,
            url=record.url,
            state=ReplicaState.LOST,
            started_at_s=record.started_at_s,
            ready_at_s=record.ready_at_s,
            simulated=record.simulated,
        )
        if not alive:
            return replace(replica, reason="process ended")
        healthy = await self._is_healthy(record.url)
        self._failed_checks[record.replica_id] = 0 if healthy else self._failed_checks.get(record.replica_id, 0) + 1
        if record.ready_at_s is None:
            return self._warming(pool, record, replica, healthy=healthy)
        if self._failed_checks[record.replica_id] >= LOST_AFTER_FAILED_CHECKS:
            return replace(replica, reason="health checks fail")
        return replace(replica, state=_live_state(record))

    def _warming(self, pool: Pool, record: ReplicaRecord, replica: Replica, *, healthy: bool) -> Replica:
        now_s = time.time()
        if healthy:
            self._records.save(replace(record, ready_at_s=now_s))
            log.info("replica_ready", pool=pool.name, replica=record.replica_id, took_s=now_s - record.started_at_s)
            return replace(replica, state=_live_state(record), ready_at_s=now_s)
        cold_start_s = self._settings.simulated_cold_start_s if record.simulated else pool.scale.cold_start_s
        if now_s - record.started_at_s > WARMING_DEADLINE_FACTOR * cold_start_s + 60.0:
            return replace(replica, reason="never became ready")
        if record.state == "draining":
            return replace(replica, state=ReplicaState.DRAINING)
        return replace(replica, state=ReplicaState.WARMING, ready_at_s=record.started_at_s + cold_start_s)

    def _finish_stopping(self, record: ReplicaRecord, *, alive: bool) -> None:
        if not alive:
            kill_rest(record)
            self._records.forget(record.replica_id)
            self._children.pop(record.replica_id, None)
            self._failed_checks.pop(record.replica_id, None)
            log.info("replica_stopped", pool=record.pool, replica=record.replica_id)
        elif time.time() - (record.stopping_since_s or 0.0) > self._settings.gateway.drain_s + KILL_AFTER_S:
            kill(record)

    async def _fixed(self, pool: Pool, number: int) -> Replica:
        url = pool.endpoints[number]
        replica_id = f"{pool.name}-fixed-{number}"
        if await self._is_healthy(url):
            self._failed_checks[replica_id] = 0
            self._ready_since_s.setdefault(replica_id, time.time())
        else:
            self._failed_checks[replica_id] = self._failed_checks.get(replica_id, 0) + 1
        ready_at_s = self._ready_since_s.get(replica_id)
        lost = ready_at_s is None or self._failed_checks[replica_id] >= LOST_AFTER_FAILED_CHECKS
        if lost:
            self._ready_since_s.pop(replica_id, None)
        return Replica(
            replica_id=replica_id,
            pool=pool.name,
            url=url,
            state=ReplicaState.LOST if lost else ReplicaState.READY,
            started_at_s=ready_at_s or 0.0,
            ready_at_s=None if lost else ready_at_s,
            reason="health checks fail" if lost else "",
        )

    async def _is_healthy(self, url: str) -> bool:
        try:
            return (await self._client.get(f"{url}/health")).status_code == 200
        except httpx.HTTPError:
            return False


def _live_state(record: ReplicaRecord) -> ReplicaState:
    return ReplicaState.DRAINING if record.state == "draining" else ReplicaState.READY


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
