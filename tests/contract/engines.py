"""The two servers that the contract is checked against: the simulated engine and the real vLLM on CPU.

The real one is started with the very command line that the process platform uses, plus what the CPU needs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from controller.adapters.engine_commands import Launch, sim_command, vllm_command
from controller.config.load import load_settings
from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from tests.engine_sim.sim_servers import Server, free_port, running

REPOSITORY = Path(__file__).parents[2]
VLLM_PYTHON = (REPOSITORY / ".venv-vllm").resolve() / "bin" / "python"  # vLLM cannot bear a space in its path
READY_DEADLINE_S = 300.0
# block size: the CPU attention takes multiples of 32 only; the last flag of a kind wins
CPU_ARGS = (
    "--dtype bfloat16 --enforce-eager --block-size 32 --enable-prompt-tokens-details --enable-auto-tool-choice "
    "--tool-call-parser hermes"
)
CPU_ENVIRON = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
CHAT = "/v1/chat/completions"
ASK = [{"role": "user", "content": "Hi there"}]
ENGINE = EngineArgs(max_model_len_tokens=2048, max_num_seqs=32, block_size_tokens=32)


@contextlib.contextmanager
def running_contract_server(
    kind: str, folder: Path, steps: StepTimes | None = None, sizes: tuple[int, ...] = ()
) -> Iterator[Server]:
    """`sim` or `vllm`, ready, serving a llama-8b of 2,048 tokens context; the first at ten times the speed of its GPU,
    or with these step times; the second a tiny model, or one of these layers and hidden size.
    """
    settings = load_settings(None, {}, today=date(2026, 11, 1), state_dir=folder)
    pool = replace(settings.pools["llama-8b"], engine=ENGINE, model_dir=str(folder / "model"))
    launch = Launch(replica_id="contract", host="127.0.0.1", port=free_port())
    log = folder / f"{kind}.log"
    if kind == "sim":
        command = [*sim_command(settings, pool, launch, sys.executable), *_timing(steps)]
        environ = dict(os.environ)
    else:
        maker = REPOSITORY / "tests/contract/tiny_model.py"
        subprocess.run([VLLM_PYTHON, maker, str(pool.model_dir), *map(str, sizes)], check=True, timeout=120)
        variables = {"SPILLWAY_VLLM_PYTHON": str(VLLM_PYTHON), "SPILLWAY_VLLM_ARGS": CPU_ARGS}
        command = vllm_command(settings, pool, launch, variables, sys.executable)
        environ = {**os.environ, **CPU_ENVIRON}
    with running(command, launch.port, log=log, ready_s=READY_DEADLINE_S, env=environ) as server:
        yield replace(server, model=settings.models[pool.model].model_id)


def _timing(steps: StepTimes | None) -> list[str]:
    if steps is None:
        return ["--speed", "10"]
    times = (steps.alpha_ms, steps.beta_ms_per_seq, steps.gamma_ms_per_1k_context, steps.p1_ms_per_1k)
    return ["--step-times", ",".join(f"{value:.6f}" for value in (*times, steps.p2_ms_per_1k_sq))]


def ask(server: Server, **fields: object) -> dict[str, object]:
    """A chat request of exactly eight tokens, unless a field says otherwise."""
    return {"model": server.model, "messages": ASK, "max_tokens": 8, "ignore_eos": True, **fields}
