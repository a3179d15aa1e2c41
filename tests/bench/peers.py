"""The peers: other gateways in front of the same mock, each from an environment of its own (`scripts/bench-env.sh`)."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.processes import ROOT, Target, TargetDown, free_port, process

PEER_KEY = "sk-bench"
MODEL = "bench"


def _installed(peer: str) -> str:
    """The program of a peer in its own environment."""
    program = ROOT / f".venv-bench-{peer}" / "bin" / peer
    if not program.exists():
        raise TargetDown("not installed; run: scripts/bench-env.sh")
    return str(program)


@contextlib.asynccontextmanager
async def nginx(folder: Path, upstream: Target, *, core: int) -> AsyncIterator[Target]:
    """A plain reverse proxy with kept connections: the floor, for it knows nothing of what it carries."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise TargetDown("not installed; run: scripts/install-system.sh, or apt-get install nginx-light")
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;\n"
        "events { worker_connections 8192; }\n"
        "http {\n"
        f"  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        "  client_max_body_size 10m; client_body_buffer_size 512k; keepalive_requests 1000000;\n"
        f"  upstream mock {{ server 127.0.0.1:{upstream.port}; keepalive 512; keepalive_requests 1000000; }}\n"
        f"  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{\n"
        "    proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering off;\n"
        "  } }\n}\n"
    )
    command = [program, "-p", str(folder), "-c", str(config)]
    async with process(command, core=core, log=folder / "nginx.log", environ={}, ready=(port, "/health")) as (
        child,
        ready_s,
    ):
        yield Target(name="nginx", port=port, model=MODEL, headers={}, process=child, ready_s=ready_s)


@contextlib.asynccontextmanager
async def vllm_router(folder: Path, upstream: Target, *, core: int) -> AsyncIterator[Target]:
    """vLLM's router in Rust: checks no keys and keeps no accounts."""
    async with _router("vllm-router", folder, upstream, core) as target:
        yield target


@contextlib.asynccontextmanager
async def sglang_router(folder: Path, upstream: Target, *, core: int) -> AsyncIterator[Target]:
    """SGLang's router in Rust: checks no keys and keeps no accounts."""
    async with _router("sglang-router", folder, upstream, core) as target:
        yield target


@contextlib.asynccontextmanager
async def _router(peer: str, folder: Path, upstream: Target, core: int) -> AsyncIterator[Target]:
    port, metrics_port = free_port(), free_port()
    command = [_installed(peer), *(["launch"] if peer == "sglang-router" else [])]
    command += ["--host", "127.0.0.1", "--port", str(port), "--worker-urls", f"http://127.0.0.1:{upstream.port}"]
    command += ["--policy", "round_robin", "--prometheus-port", str(metrics_port), "--log-level", "error"]
    command += ["--max-concurrent-requests", "16384"]
    async with process(command, core=core, log=folder / f"{peer}.log", environ={}, ready=(port, "/health")) as (
        child,
        ready_s,
    ):
        yield Target(name=peer, port=port, model=MODEL, headers={}, process=child, ready_s=ready_s)


@contextlib.asynccontextmanager
async def litellm(folder: Path, upstream: Target, *, core: int) -> AsyncIterator[Target]:
    """LiteLLM's proxy with one worker and a master key: fewer duties than ours has (no ledger, no budgets)."""
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n  - model_name: bench\n    litellm_params: {{model: openai/bench, "
        f"api_base: 'http://127.0.0.1:{upstream.port}/v1', api_key: none}}\n"
        f"general_settings: {{master_key: {PEER_KEY}}}\n"
        "litellm_settings: {num_retries: 0, telemetry: false}\n"
    )
    environ = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_DOCS": "True"}
    command = [
        _installed("litellm"),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    async with process(
        command, core=core, log=folder / "litellm.log", environ=environ, ready=(port, "/health/liveliness")
    ) as (child, ready_s):
        headers = {"authorization": f"Bearer {PEER_KEY}"}
        yield Target(name="litellm", port=port, model="bench", headers=headers, process=child, ready_s=ready_s)
