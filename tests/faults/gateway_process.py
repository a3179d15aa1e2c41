"""The gateway under test as its own process, with a configuration that knows only stubs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from controller.adapters.key_store import KeyTable
from controller.config.schema import DATABASE_VARIABLE
from tests.e2e.stack import free_ports
from tests.faults.stub import Stub

READY_S = 20.0
STOP_S = 15.0
PRICE_IN_NANOUSD, PRICE_OUT_NANOUSD = 1000, 3000  # per token: 1 and 3 USD per million
TIMEOUTS = {"connect_s": 1.0, "ttft_s": 2.0, "idle_s": 1.5, "total_s": 20.0}
POOL = "llama-8b"
Document = dict[str, object]


@dataclass(kw_only=True)
class Setup:
    """What a gateway is started with. `changes` are merged into the configuration, section by section."""

    engines: Sequence[str] = ()  # addresses
    providers: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # name -> (address, dialect)
    changes: Mapping[str, object] = field(default_factory=dict)
    pool: Mapping[str, object] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    open_files: int | None = None
    wrapper: Sequence[str] = ()  # a command in front of the gateway's own
    words: Sequence[str] = ()  # more of the gateway's own


def key_variable(provider: str) -> str:
    """The environment variable with a stub provider's key."""
    return f"STUB_{provider.upper().replace('-', '_')}_KEY"


def configuration(setup: Setup, ports: Sequence[int]) -> Document:
    """spillway.yaml as a document: one own pool on the stubs, which spills to the stub providers in order."""
    names = list(setup.providers)
    models = {
        name: {
            "provider": name,
            "model_id": name,
            "tier": 1,
            "capabilities": ["text", "json", "function_calling", "complex_reasoning"],
            "context_tokens": 200_000,
            "max_output_tokens": 4096,
            "usd_per_mtok_in": "1",
            "usd_per_mtok_out": "3",
            "source": "stub",
            "as_of": "2026-11-01",
        }
        for name in names
    }
    providers = {
        name: {"dialect": dialect, "base_url": f"{url}/v1", "api_key_env": key_variable(name)}
        for name, (url, dialect) in setup.providers.items()
    }
    pool = {
        "name": POOL,
        "model": "llama-8b-self",
        "instance_type": "g5.2xlarge",
        "slo": {"ttft_p95_s": 60.0, "tpot_p95_s": 1.0},
        "spill": {"to": names},
        "endpoints": list(setup.engines),
        **setup.pool,
    }
    document: Document = {
        "phase": "phase3",
        "gateway": {"port": ports[0], "admin_port": ports[1], "drain_s": 2.0, "timeouts": TIMEOUTS},
        "models": models,
        "providers": providers,
        "pools": [pool] if setup.engines else [],
        "fallbacks": {name: names[place + 1 :] for place, name in enumerate(names)},
    }
    return merged(document, setup.changes)


def merged(document: Document, changes: Mapping[str, object]) -> Document:
    made = dict(document)
    for name, value in changes.items():
        there = made.get(name)
        made[name] = merged(there, value) if isinstance(there, dict) and isinstance(value, Mapping) else value
    return made


@dataclass
class GatewayProcess:
    """A running gateway."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int
    admin_port: int
    key: str
    log: Path
    environ: Mapping[str, str]

    @property
    def state_dir(self) -> Path:
        """Where its ledger lies."""
        return self.folder / "state"

    @property
    def database(self) -> Path:
        """The ledger, of a gateway without PostgreSQL."""
        return self.state_dir / "spillway.db"

    @property
    def books(self) -> Path | str:
        """The ledger: SQLite's file, or the URL of PostgreSQL."""
        return self.environ.get(DATABASE_VARIABLE) or self.database

    def resources(self) -> tuple[int, int]:
        """(open file descriptors, resident bytes)."""
        process = psutil.Process(self.process.pid)
        return process.num_fds(), process.memory_info().rss

    async def page(self, path: str) -> str:
        """Body of a GET on the admin port."""
        return await page(self.admin_port, path)

    async def metrics(self) -> dict[str, float]:
        """Every series by its name with labels."""
        lines = [line for line in (await self.page("/metrics")).splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    async def ready(self, within_s: float = READY_S) -> None:
        """Returns once it answers."""
        deadline_s = time.monotonic() + within_s
        while True:
            assert self.process.poll() is None, f"the gateway ended: {self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline_s, f"not ready: {self.log.read_text()[-3000:]}"
            try:
                if (await self.page("/readyz")).startswith("ready"):
                    return
            except OSError:
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        """Afterwards it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


async def page(port: int, path: str) -> str:
    """Body of a GET on a port of this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        async with asyncio.timeout(10):
            return (await reader.read()).decode().partition("\r\n\r\n")[2]
    finally:
        writer.close()


def start(folder: Path, setup: Setup, provider_key: str) -> GatewayProcess:
    """A gateway on its way up, with a key for the tenant `stubs`; one started again in its folder keeps its ledger."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_ports(2)
    file, state_dir, log = folder / "spillway.yaml", folder / "state", folder / "gateway.log"
    file.write_text(json.dumps(configuration(setup, ports)))
    hidden = (
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "GROQ_API_KEY",
        "TOGETHER_API_KEY",
        "AI_PHASE",
        "SPILLWAY_FAILPOINT",
        DATABASE_VARIABLE,
    )
    environ = {name: value for name, value in os.environ.items() if name not in hidden}
    environ |= {key_variable(name): provider_key for name in setup.providers}
    environ |= setup.environ
    keys = KeyTable(environ.get(DATABASE_VARIABLE) or state_dir / "spillway.db", state_dir / "pepper")
    key, _ = keys.create("stubs", "faults", now_s=time.time())
    keys.close()
    command = [sys.executable, "-m", "controller.cli.main", "gateway", "-c", str(file), "--state-dir", str(state_dir)]
    command += setup.words
    if setup.open_files is not None:
        command = ["prlimit", f"--nofile={setup.open_files}", *command]
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [*setup.wrapper, *command], stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env=environ
        )
    return GatewayProcess(process, folder, ports[0], ports[1], key, log, environ)


def of_stubs(stubs: Sequence[Stub], dialects: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Stub providers as a setup wants them."""
    return {stub.name: (stub.url, dialects.get(stub.name, "openai")) for stub in stubs}
