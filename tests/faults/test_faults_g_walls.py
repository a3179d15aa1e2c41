"""Fault group G, walls: between tenants, around keys, and around engines and the admin port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

import pytest

from controller.cli.wiring import open_keys, settings_from
from controller.core.keys import SECRET_CHARS, key_text
from tests.e2e.stack import free_ports
from tests.faults import caller
from tests.faults.caller import ANSWERED, Told
from tests.faults.gateway_process import POOL, GatewayProcess
from tests.faults.play import play
from tests.faults.rank_test import p_value, z_score
from tests.faults.rows import Row, row
from tests.faults.tenant_network import HOST, TenantNetwork, tenant_network
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

WARM_UP = 500
PROBES = 4_000  # of each kind in a run
RUNS = 4
P_VALUE = 0.01
TENANT = "tenant-with-one-long-beginning"  # of more than twenty characters
BEGINNING_CHARS = 20


def _new_key(gateway: GatewayProcess, tenant: str) -> str:
    keys = open_keys(settings_from(gateway.folder / "spillway.yaml", gateway.state_dir, environ=gateway.environ))
    try:
        return keys.create(tenant, "faults", now_s=time.time())[0]
    finally:
        keys.close()


def _kinds(good: str) -> Mapping[str, str]:
    """Keys that are none: by their check digits, by the secret of one that is there, by their id."""
    public_id = good.split("-")[1]
    unknown = key_text(secrets.token_hex(len(public_id) // 2), secrets.token_hex(SECRET_CHARS // 2))
    mistyped = key_text(secrets.token_hex(len(public_id) // 2), secrets.token_hex(SECRET_CHARS // 2))
    return {
        "wrong key": mistyped[:-1] + ("0" if mistyped[-1] != "0" else "1"),
        "wrong secret": key_text(public_id, secrets.token_hex(SECRET_CHARS // 2)),
        "unknown id": unknown,
    }


def _times_ns(port: int, line: Row, good: str) -> dict[str, list[float]]:
    """How long each refusal took: a fresh key each time, all kinds mixed by chance, on one connection."""
    probes = [
        (kind, f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n".encode())
        for _ in range(PROBES)
        for kind, key in _kinds(good).items()
    ]
    line.random.shuffle(probes)
    probes = probes[:WARM_UP] + probes
    times: dict[str, list[float]] = {kind: [] for kind, _ in probes}
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, (kind, request) in enumerate(probes):
            began_ns = time.perf_counter_ns()
            connection.sendall(request)
            said = connection.recv(65536)
            took_ns = time.perf_counter_ns() - began_ns
            if number >= WARM_UP:
                times[kind].append(took_ns)
            assert said.startswith(b"HTTP/1.1 401 "), said[:80]
    return times


def _told_apart(times: Mapping[str, list[float]]) -> dict[tuple[str, str], float]:
    """The pairs of kinds that differ, with which way."""
    scores = {pair: z_score(times[pair[0]], times[pair[1]]) for pair in combinations(sorted(times), 2)}
    return {pair: z for pair, z in scores.items() if p_value(z) < P_VALUE}


def test_g7_times_tell_nothing_about_keys(tmp_path: Path) -> None:
    """What is no key is refused after the same time, whatever of it is right."""

    async def scene() -> None:
        async with world(tmp_path / "g7") as here, row(here, "G7", "times of wrong keys") as line:
            port = here.gateway.port
            line.injected()
            always: dict[tuple[str, str], float] | None = None
            for run in range(RUNS):
                found = _told_apart(await asyncio.to_thread(_times_ns, port, line, here.gateway.key))
                line.figures[f"differ_{run + 1}"] = len(found)
                if always is None:
                    always = found
                always = {pair: z for pair, z in always.items() if pair in found and z * found[pair] > 0}
                if not always:
                    break
            line.detected()
            line.figures["probes"] = PROBES * len(_kinds(here.gateway.key)) * (run + 1)
            assert not always, f"told apart in {RUNS} runs, with standard deviations: {always}"
            line.healed()

    play(scene())


async def _with_key(here: World, key: str, **fields: object) -> Told:
    document = {"model": POOL, "messages": [{"role": "user", "content": here.canaries.prompt}], **fields}
    here.offered += 1
    told = await caller.ask(here.gateway.port, caller.request_bytes(key, document), stream=False)
    here.told.append(told)
    return told


async def _salt_of(here: World, key: str) -> str:
    """What the engine is told to keep this tenant's cache apart by."""

    async def is_known() -> bool:
        return (await _with_key(here, key)).end == ANSWERED

    await eventually(is_known, within_s=5.0, every_s=0.2)
    assert (await _with_key(here, key, cache_salt="guess")).end == ANSWERED
    salts = {str(call.body["cache_salt"]) for call in here.calls[-2:]}
    assert len(salts) == 1, "one tenant, two salts"
    return salts.pop()


def test_g7_what_begins_alike_is_kept_apart(tmp_path: Path) -> None:
    """Tenants and keys that share twenty characters share neither the engines' cache nor a remembered key."""

    async def scene() -> None:
        async with world(tmp_path / "g7") as here, row(here, "G7", "tenants and keys that begin alike") as line:
            line.injected()
            keys = {name: _new_key(here.gateway, name) for name in (f"{TENANT}-a", f"{TENANT}-b")}
            salts = {name: await _salt_of(here, key) for name, key in keys.items()}
            again = await _salt_of(here, _new_key(here.gateway, f"{TENANT}-a"))
            assert again == salts[f"{TENANT}-a"], "a second key of a tenant has a cache of its own"
            assert len({salt[:BEGINNING_CHARS] for salt in salts.values()}) == len(keys)
            assert min(map(len, salts.values())) >= 43, "less than 256 bits"  # in base64; 64 in hex
            assert not any(TENANT in salt or salt == "guess" for salt in salts.values())
            for key in keys.values():
                _, public_id, last = key.split("-")
                alike = key_text(public_id, last[: SECRET_CHARS - 1] + ("0" if last[SECRET_CHARS - 1] != "0" else "1"))
                assert alike[: BEGINNING_CHARS * 3] == key[: BEGINNING_CHARS * 3]
                for _ in range(2):
                    assert (await _with_key(here, key)).end == ANSWERED
                    assert (await _with_key(here, alike)).status == 401
            line.detected()
            line.healed()

    play(scene())


CONTROL_PATHS = ("/invocations", "/pause", "/resume", "/sleep", "/v1/load_lora_adapter", "/collective_rpc")


def _request(path: str, key: str | None = None, method: str = "POST") -> str:
    bearer = "" if key is None else f"authorization: Bearer {key}\r\n"
    body = '{"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}'
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{bearer}"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"


@contextlib.contextmanager
def _simulated_engine(host: str, key: str) -> Iterator[int]:
    """The port of a simulated engine that asks for a key, as vLLM does with VLLM_API_KEY."""
    port = free_ports(1)[0]
    words = ["--model-key", "llama-8b-self", "--instance-type", "g5.2xlarge", "--served-model-name", "m"]
    command = [sys.executable, "-m", "controller.engine_sim", "--host", host, "--port", str(port), *words]
    process = subprocess.Popen(
        command, env={**os.environ, "VLLM_API_KEY": key}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _listens(port: int) -> None:
    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    await eventually(answers, within_s=20.0, every_s=0.1)


def _engine_with_a_key(tenant: TenantNetwork, port: int, key: str) -> None:
    """Reached from everywhere, it answers who has its key, and has no page that controls it."""
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/models"):
        method = "GET" if path.endswith("models") else "POST"
        for wrong in (None, "", "sp-x", key[:-1], key.upper()):
            said = tenant.call(port, _request(path, wrong, method))
            assert " 401 " in said, f"{path} with {wrong!r}: {said}"
    for path in CONTROL_PATHS:
        said = tenant.call(port, _request(path))
        assert " 404 " in said or " 401 " in said, f"{path}: {said}"
    assert " 200 " in tenant.call(port, _request("/v1/chat/completions", key))


def test_g10_straight_to_what_is_inside(tmp_path: Path) -> None:
    """From a tenant's network engines and the admin port do not answer; an engine that is reached asks for its key."""

    async def scene(tenant: TenantNetwork) -> None:
        async with world(tmp_path / "g10") as here, row(here, "G10", "straight to engine and admin port") as line:
            key = secrets.token_hex(16)
            with _simulated_engine("0.0.0.0", key) as open_port, _simulated_engine("127.0.0.1", key) as inner_port:
                await _listens(open_port)
                await _listens(inner_port)
                line.injected()
                await asyncio.to_thread(_engine_with_a_key, tenant, open_port, key)
                closed = {
                    "admin port": here.gateway.admin_port,
                    "gateway": here.gateway.port,
                    "stub": here.engines[0].port,
                    "engine": inner_port,
                }
                for name, port in closed.items():
                    for host in (HOST, "127.0.0.1"):
                        said = await asyncio.to_thread(tenant.call, port, _request("/metrics", None, "GET"), host=host)
                        assert said == "ConnectionRefusedError", f"{name} at {host}: {said}"
                line.detected()
            for path in ("/metrics", "/v1/loads", *CONTROL_PATHS):
                told = await caller.ask(here.gateway.port, _request(path, here.gateway.key).encode(), stream=False)
                assert told.status == 404, f"{path} at the gateway: {told.status}"
            line.healed()

    name = f"sw{secrets.token_hex(3)}"
    with tenant_network(name) as tenant:
        play(scene(tenant))
