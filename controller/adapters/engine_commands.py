"""The command lines that start one engine: the simulated one, or the real vLLM server."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.config.settings import Settings
from controller.core.errors import ConfigError, Problem
from controller.core.pools import Pool

NO_HOST = "none.invalid"  # an empty list would let vLLM fetch from anywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a command line is made of."""

    replica_id: str
    host: str
    port: int


def sim_command(settings: Settings, pool: Pool, launch: Launch, python: str) -> list[str]:
    """A simulated engine with this pool's model, GPU shape and engine arguments."""
    engine = pool.engine
    usage_file = settings.state_dir / "run" / "usage" / f"{launch.replica_id}.json"
    usage_file.parent.mkdir(parents=True, exist_ok=True)
    flags: dict[str, object] = {
        "--host": launch.host,
        "--port": launch.port,
        "--model-key": pool.model,
        "--instance-type": pool.instance_type,
        "--served-model-name": settings.models[pool.model].model_id,
        "--tensor-parallel": engine.tensor_parallel,
        "--max-num-seqs": engine.max_num_seqs,
        "--max-num-batched-tokens": engine.max_num_batched_tokens,
        "--max-model-len": engine.max_model_len_tokens,
        "--weights": engine.weights,
        "--block-size": engine.block_size_tokens,
        "--cold-start-s": settings.simulated_cold_start_s,
        "--usage-file": usage_file,
        "--drain-s": settings.gateway.drain_s,
    }
    return [python, "-m", "controller.engine_sim", *_flat(flags)]


def vllm_command(settings: Settings, pool: Pool, launch: Launch, environ: Mapping[str, str], python: str) -> list[str]:
    """The real server on the pool's model directory; `SPILLWAY_VLLM_PYTHON` names the interpreter that has vLLM,
    `SPILLWAY_VLLM_ARGS` adds arguments (the CPU recipe needs some)."""
    engine = pool.engine
    flags: dict[str, object] = {
        "--model": pool.model_dir,
        "--served-model-name": settings.models[pool.model].model_id,
        "--host": launch.host,
        "--port": launch.port,
        "--tensor-parallel-size": engine.tensor_parallel,
        "--max-num-seqs": engine.max_num_seqs,
        "--max-num-batched-tokens": engine.max_num_batched_tokens,
        "--max-model-len": engine.max_model_len_tokens,
        "--block-size": engine.block_size_tokens,
        "--gpu-memory-utilization": engine.gpu_memory_utilization_ratio,
        "--shutdown-timeout": math.ceil(settings.gateway.drain_s),  # whole seconds; without it SIGTERM cuts its streams
    }
    if engine.weights not in ("bf16", "int8"):  # an int8 checkpoint says so itself
        flags["--quantization"] = engine.weights
    interpreter = environ.get("SPILLWAY_VLLM_PYTHON", python)
    extra = shlex.split(environ.get("SPILLWAY_VLLM_ARGS", ""))
    media = sorted(settings.gateway.media_hosts) or [NO_HOST]
    server = [interpreter, "-m", "vllm.entrypoints.openai.api_server"]
    return [*server, *_flat(flags), "--allowed-media-domains", *media, *extra]


def check_model_dirs(settings: Settings) -> None:
    """ConfigError naming every pool whose model directory is not there."""
    problems = tuple(
        Problem(
            file=str(settings.file) if settings.file else None,
            line=None,
            key=f"pools.{pool.name}.model_dir",
            value=pool.model_dir,
            allowed="an existing directory with the model's weights",
            message="model directory not found",
        )
        for pool in settings.pools.values()
        if pool.model_dir is not None and not pool.endpoints and not Path(pool.model_dir).is_dir()
    )
    if problems:
        raise ConfigError(problems)


def _flat(flags: Mapping[str, object]) -> list[str]:
    return [part for flag, value in flags.items() for part in (flag, str(value))]
