"""The command line of the simulated engine, with vLLM's limits spelled as vLLM spells them."""

from __future__ import annotations

import argparse
import math
import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from controller.catalogue.load import Catalogue, load_catalogue, pool_step_times
from controller.config.load import load_settings
from controller.config.settings import Settings
from controller.core.errors import ConfigError
from controller.core.models import Model, StepTimes
from controller.core.pools import EngineArgs
from controller.engine_sim.engine import EngineSetup

DEFAULTS = EngineArgs()
EXIT_USAGE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Everything one simulated replica is started with."""

    host: str
    port: int
    model: Model
    setup: EngineSetup
    cold_start_s: float
    drain_s: float
    usage_file: Path | None
    scaled: bool  # the step times are estimates


def build_parser() -> argparse.ArgumentParser:
    """All flags, with an example."""
    parser = argparse.ArgumentParser(
        prog="python -m controller.engine_sim",
        description="A simulated vLLM server: its API and metrics, with the timing of a model on a GPU.",
        epilog="python -m controller.engine_sim --model-key llama-8b-self --instance-type g5.2xlarge --port 8001",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model-key", required=True, help="catalogue key, e.g. llama-8b-self")
    parser.add_argument("--config", type=Path, help="spillway.yaml with models beyond the catalogue")
    parser.add_argument("--instance-type", required=True, help="GPU shape, e.g. g5.2xlarge")
    parser.add_argument("--served-model-name", help="name in requests [default: the model's id]")
    parser.add_argument("--tensor-parallel", type=int, default=DEFAULTS.tensor_parallel)
    parser.add_argument("--max-num-seqs", type=int, default=DEFAULTS.max_num_seqs)
    parser.add_argument("--max-num-batched-tokens", type=int, default=DEFAULTS.max_num_batched_tokens)
    parser.add_argument("--max-model-len", type=int, default=DEFAULTS.max_model_len_tokens)
    parser.add_argument("--gpu-memory-utilization", type=float, default=DEFAULTS.gpu_memory_utilization_ratio)
    parser.add_argument("--weights", choices=("bf16", "fp8", "int8", "awq", "gptq"), default=DEFAULTS.weights)
    parser.add_argument("--block-size", type=int, default=DEFAULTS.block_size_tokens)
    parser.add_argument("--kv-cache-tokens", type=int, help="[default: what fits the GPU]")
    parser.add_argument("--cold-start-s", type=float, default=0.0, help="not listening for so long")
    parser.add_argument("--drain-s", type=float, default=30.0, help="on SIGTERM, open answers get so long")
    parser.add_argument("--speed", type=float, default=1.0, help="2 runs twice as fast as the GPU would")
    parser.add_argument(
        "--step-times",
        type=_step_times,
        metavar="A,B,C,P1,P2",
        help="as measured, in ms: of a step, per sequence, per 1k tokens of context, per 1k of prompts, and squared",
    )
    parser.add_argument("--usage-file", type=Path, help="keeps the engine's own token counts here")
    return parser


def _step_times(text: str) -> tuple[float, ...]:
    """Five numbers."""
    found = tuple(float(cell) for cell in text.split(","))
    if len(found) != 5 or not all(0 <= value < math.inf for value in found) or found[0] == 0:
        raise ValueError(text)
    return found


def known_catalogue(config: Path | None) -> Catalogue | Settings:
    """The models and providers of the catalogue, or of a configuration file; SystemExit 2 when it has errors."""
    if config is None:
        return load_catalogue()
    try:
        return load_settings(config, os.environ, today=datetime.now(UTC).date())
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EXIT_USAGE)


def read(argv: list[str]) -> EngineOptions:
    """Options from the command line; SystemExit 2 with one line when a value is not possible."""
    parser = build_parser()
    given = parser.parse_args(argv)
    catalogue = load_catalogue()
    models = known_catalogue(given.config).models
    model, shape = models.get(given.model_key), catalogue.gpus.get(given.instance_type)
    if model is None or model.architecture is None:
        own = sorted(key for key, entry in models.items() if entry.is_own)
        parser.error(f"--model-key {given.model_key}; allowed: {', '.join(own)}")
    if shape is None:
        parser.error(f"--instance-type {given.instance_type}; allowed: {', '.join(sorted(catalogue.gpus))}")
    if given.speed <= 0 or min(given.max_num_seqs, given.max_num_batched_tokens, given.block_size) < 1:
        parser.error("--speed, --max-num-seqs, --max-num-batched-tokens and --block-size must be positive")
    engine = EngineArgs(
        tensor_parallel=given.tensor_parallel,
        max_model_len_tokens=given.max_model_len,
        max_num_seqs=given.max_num_seqs,
        max_num_batched_tokens=given.max_num_batched_tokens,
        gpu_memory_utilization_ratio=given.gpu_memory_utilization,
        weights=given.weights,
        block_size_tokens=given.block_size,
    )
    try:
        steps, scaled = pool_step_times(model, engine, shape)
    except LookupError as error:
        parser.error(str(error))
    if given.step_times is not None:
        known = steps
        steps, scaled = StepTimes.measured(given.step_times, kv_cache_tokens=known.kv_cache_tokens), False
        steps = replace(steps, schedules_ahead=known.schedules_ahead)
    if given.kv_cache_tokens is not None:
        steps = replace(steps, kv_cache_tokens=given.kv_cache_tokens)
    if steps.kv_cache_tokens // given.block_size * given.block_size < given.max_model_len:
        parser.error(
            f"--max-model-len {given.max_model_len}; allowed: at most {steps.kv_cache_tokens} (KV cache tokens)"
        )
    name = given.served_model_name or model.model_id
    return EngineOptions(
        host=given.host,
        port=given.port,
        model=model,
        setup=EngineSetup(model_name=name, steps=steps, engine=engine, speed=given.speed),
        cold_start_s=given.cold_start_s,
        drain_s=given.drain_s,
        usage_file=given.usage_file,
        scaled=scaled,
    )
