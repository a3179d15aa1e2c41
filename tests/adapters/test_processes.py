"""Replicas as processes: started, listed with the right state, adopted, drained, stopped, and never someone else's."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from controller.adapters import processes
from controller.adapters.engine_commands import Launch
from controller.adapters.processes import LocalProcesses
from controller.adapters.replica_records import ReplicaRecord, ReplicaRecords, is_alive, start_time, stop_recorded
from controller.config.settings import BudgetSettings, ControllerSettings, GatewaySettings, Settings
from controller.core.errors import ConfigError
from controller.core.fleet import Replica, ReplicaState
from controller.core.models import Model
from controller.core.money import Price
from controller.core.pools import EngineArgs, Pool, ScalePolicy, Slo, SpillPolicy
from controller.core.requests import Phase
from controller.routing.phases import DEFAULT_RULES

SCRIPT = Path(__file__).with_name("tiny_engine.py")
POOL = Pool(
    name="llama-8b",
    model="llama-8b-self",
    instance_type="g5.2xlarge",
    engine=EngineArgs(),
    slo=Slo(ttft_p95_s=1.0, tpot_p95_s=0.1),
    scale=ScalePolicy(),
    spill=SpillPolicy(),
)


class TinyProcesses(LocalProcesses):
    """The platform with a tiny script in place of the engine."""

    mode = "good"
    cold_start_s = 0.0

    def command(self, pool: Pool, launch: Launch) -> list[str]:
        """Start the tiny script."""
        return [sys.executable, str(SCRIPT), self.mode, str(launch.port), str(self.cold_start_s)]


def settings(state_dir: Path, pool: Pool = POOL) -> Settings:
    """Settings with one pool."""
    price = Price(
        usd_per_mtok_in=Decimal(0),
        usd_per_mtok_out=Decimal(0),
        usd_per_mtok_cached_in=Decimal(0),
        source="test",
        as_of=date(2026, 1, 1),
    )
    model = Model(
        key=pool.model,
        provider="self-hosted",
        model_id="meta-llama/Llama-3.1-8B-Instruct",
        tier=1,
        capabilities=frozenset(),
        context_tokens=8192,
        max_output_tokens=4096,
        price=price,
    )
    return Settings(
        file=None,
        state_dir=state_dir,
        phase=Phase.PHASE1,
        today=date(2026, 1, 1),
        gateway=GatewaySettings(),
        controller=ControllerSettings(),
        models={pool.model: model},
        providers={},
        pools={pool.name: pool},
        step_times={},
        rules=DEFAULT_RULES,
        fallbacks={},
        budgets=BudgetSettings(),
    )


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose replicas are all gone afterwards."""
    yield tmp_path
    stop_recorded(tmp_path, grace_s=0.2)


async def listed_as(platform: LocalProcesses, state: ReplicaState | None, pool: Pool = POOL) -> tuple[Replica, ...]:
    """The listing once its only replica has this state (None: once it is empty)."""
    async with asyncio.timeout(10):
        while True:
            replicas = await platform.list_replicas(pool)
            if [replica.state for replica in replicas] == ([state] if state else []):
                return replicas
            await asyncio.sleep(0.02)


def test_a_replica_warms_becomes_ready_and_is_adopted_by_a_new_controller(state_dir: Path) -> None:
    """Warming with an expected time, then ready; a second platform object sees the very same replica."""

    async def scenario() -> None:
        first = TinyProcesses(settings(state_dir))
        first.cold_start_s = 0.4
        replica_id = await first.start(POOL)
        (warming,) = await first.list_replicas(POOL)
        assert warming.state is ReplicaState.WARMING
        assert warming.ready_at_s == warming.started_at_s + 3.0
        assert warming.simulated
        (ready,) = await listed_as(first, ReplicaState.READY)
        await first.close()
        second = TinyProcesses(settings(state_dir))
        (adopted,) = await second.list_replicas(POOL)
        assert adopted == ready
        assert adopted.replica_id == replica_id
        await second.close()

    asyncio.run(scenario())


def test_a_killed_replica_is_lost_and_can_be_removed(state_dir: Path) -> None:
    """kill -9 shows as lost at the next listing; removing it forgets it."""

    async def scenario() -> None:
        platform = TinyProcesses(settings(state_dir))
        replica_id = await platform.start(POOL)
        await listed_as(platform, ReplicaState.READY)
        os.kill(ReplicaRecords(state_dir).load()[0].pid, signal.SIGKILL)
        (lost,) = await listed_as(platform, ReplicaState.LOST)
        assert lost.reason == "process ended"
        await platform.remove(replica_id)
        await listed_as(platform, None)
        assert ReplicaRecords(state_dir).load() == ()
        await platform.close()

    asyncio.run(scenario())


def test_draining_survives_a_restart_and_removal_ends_the_process(state_dir: Path) -> None:
    """A draining replica is listed as draining by a new controller; after removal its process is gone."""

    async def scenario() -> None:
        platform = TinyProcesses(settings(state_dir))
        replica_id = await platform.start(POOL)
        await listed_as(platform, ReplicaState.READY)
        await platform.mark_draining(replica_id)
        again = TinyProcesses(settings(state_dir))
        await listed_as(again, ReplicaState.DRAINING)
        (record,) = ReplicaRecords(state_dir).load()
        await again.remove(replica_id)
        async with asyncio.timeout(5):
            while ReplicaRecords(state_dir).load():
                await platform.list_replicas(POOL)
                await again.list_replicas(POOL)
                await asyncio.sleep(0.02)
        assert not is_alive(record)
        await platform.remove("unknown")
        await platform.mark_draining("unknown")
        await platform.close()
        await again.close()

    asyncio.run(scenario())


def test_a_process_that_ignores_sigterm_is_killed(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removal escalates to SIGKILL after the grace period, without blocking a tick."""
    monkeypatch.setattr(processes, "KILL_AFTER_S", 0.1)

    async def scenario() -> None:
        hurried = replace(settings(state_dir), gateway=GatewaySettings(drain_s=1.0))
        platform = TinyProcesses(hurried)
        platform.mode = "deaf"
        replica_id = await platform.start(POOL)
        await listed_as(platform, ReplicaState.READY)
        (record,) = ReplicaRecords(state_dir).load()
        began_s = time.monotonic()
        await platform.remove(replica_id)
        assert time.monotonic() - began_s < 0.5
        async with asyncio.timeout(5):
            while ReplicaRecords(state_dir).load():
                assert await platform.list_replicas(POOL) == ()
                await asyncio.sleep(0.02)
        assert not is_alive(record)
        assert time.monotonic() - began_s > 1.0
        await platform.close()

    asyncio.run(scenario())


def test_what_a_crashed_run_left_is_stopped(state_dir: Path) -> None:
    """A new run stops the old run's replicas, deaf ones too, and leaves no records."""

    async def leave_behind() -> None:
        platform = TinyProcesses(settings(state_dir))
        await platform.start(POOL)
        platform.mode = "deaf"
        await platform.start(POOL)
        async with asyncio.timeout(10):
            while {replica.state for replica in await platform.list_replicas(POOL)} != {ReplicaState.READY}:
                await asyncio.sleep(0.02)
        await platform.close()

    asyncio.run(leave_behind())
    records = ReplicaRecords(state_dir).load()
    assert len(stop_recorded(state_dir, grace_s=0.3)) == 2
    assert not any(is_alive(record) for record in records)
    assert ReplicaRecords(state_dir).load() == ()


def test_a_reused_pid_is_never_touched(state_dir: Path) -> None:
    """A record whose pid now belongs to another process is forgotten, and that process lives on."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        started = start_time(stranger.pid)
        assert started is not None
        record = ReplicaRecord(
            replica_id="llama-8b-x",
            pool="llama-8b",
            pid=stranger.pid,
            create_time=started - 100.0,
            url="http://127.0.0.1:1",
            started_at_s=started - 100.0,
            simulated=True,
        )
        ReplicaRecords(state_dir).save(record)
        assert stop_recorded(state_dir, grace_s=0.1) == ()
        assert stranger.poll() is None
        assert ReplicaRecords(state_dir).load() == ()
    finally:
        stranger.kill()
        stranger.wait()


def test_an_unreadable_record_is_skipped(state_dir: Path) -> None:
    """A damaged record stops neither a listing nor a clean-up."""
    folder = state_dir / "run" / "replicas"
    folder.mkdir(parents=True)
    (folder / "bad.json").write_text("{")
    assert ReplicaRecords(state_dir).load() == ()
    assert stop_recorded(state_dir) == ()


def test_fixed_endpoints_are_watched_but_never_managed(state_dir: Path) -> None:
    """A fixed endpoint is ready while it answers, lost when it does not, and is not started or stopped."""

    async def scenario() -> None:
        platform = TinyProcesses(settings(state_dir))
        await platform.start(POOL)
        (ready,) = await listed_as(platform, ReplicaState.READY)
        fixed = replace(POOL, name="fixed", endpoints=(ready.url, "http://127.0.0.1:1"))
        assert not platform.manages(fixed)
        assert platform.manages(POOL)
        states = [replica.state for replica in await platform.list_replicas(fixed)]
        assert states == [ReplicaState.READY, ReplicaState.LOST]
        await platform.remove("fixed-fixed-0")
        assert (await platform.list_replicas(POOL))[0].state is ReplicaState.READY
        await platform.close()

    asyncio.run(scenario())


def test_commands_say_the_pools_engine_arguments(state_dir: Path) -> None:
    """The simulated and the real engine get the pool's arguments; only pools with weights run the real one."""
    launch = Launch(replica_id="llama-8b-1", host="127.0.0.1", port=9)
    simulated = LocalProcesses(settings(state_dir)).command(POOL, launch)
    assert simulated[1:3] == ["-m", "controller.engine_sim"]
    assert simulated[simulated.index("--instance-type") + 1] == "g5.2xlarge"
    assert simulated[simulated.index("--served-model-name") + 1] == "meta-llama/Llama-3.1-8B-Instruct"
    own = replace(POOL, model_dir=str(state_dir), engine=EngineArgs(weights="fp8"))
    environ = {"SPILLWAY_VLLM_PYTHON": "/opt/vllm/bin/python", "SPILLWAY_VLLM_ARGS": "--dtype float32"}
    platform = LocalProcesses(settings(state_dir, own), engine="vllm", environ=environ)
    real = platform.command(own, launch)
    assert real[:3] == ["/opt/vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server"]
    assert real[real.index("--quantization") + 1] == "fp8"
    assert real[real.index("--shutdown-timeout") + 1] == "30"
    assert simulated[simulated.index("--drain-s") + 1] == "30.0"
    assert real[-2:] == ["--dtype", "float32"]
    assert platform.manages(own)
    assert not platform.manages(POOL)


def test_a_missing_model_directory_is_a_config_error(state_dir: Path) -> None:
    """The real engine without its weights is refused before anything starts."""
    pool = replace(POOL, model_dir=str(state_dir / "nowhere"))
    with pytest.raises(ConfigError, match="model directory not found"):
        LocalProcesses(settings(state_dir, pool), engine="vllm")
