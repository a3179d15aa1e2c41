"""`spillway up --engine vllm`: the same platform code runs the real server on CPU with a tiny model."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.contract.engines import CPU_ARGS, CPU_ENVIRON, REPOSITORY, VLLM_PYTHON
from tests.e2e.stack import Stack, eventually, running_stack

CONFIG = """
phase: phase3
pools:
  - name: llama-8b
    model: llama-8b-self
    instance_type: g5.2xlarge
    engine: {{max_model_len_tokens: 2048, max_num_seqs: 32, block_size_tokens: 32}}
    replicas: {{min: 1, max: 1}}
    autoscale: {{cold_start_s: 90}}
    spill: {{to: [gpt-6-luna]}}
    model_dir: {model_dir}
  - name: mixtral-8x7b
    model: mixtral-8x7b-self
    instance_type: p4d.24xlarge
    engine: {{tensor_parallel: 4, max_model_len_tokens: 16384, gpu_memory_utilization_ratio: 0.92}}
    spill: {{to: [gpt-6-terra]}}
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One pool on the real server; another that names no model directory and so has no replica."""
    assert VLLM_PYTHON.exists(), "run `make vllm-env` first"
    folder = tmp_path_factory.mktemp("vllm")
    model_dir = folder / "model"
    script = REPOSITORY / "tests" / "contract" / "tiny_model.py"
    subprocess.run([VLLM_PYTHON, script, model_dir], check=True, timeout=120, capture_output=True)
    environ = {**CPU_ENVIRON, "SPILLWAY_VLLM_PYTHON": str(VLLM_PYTHON), "SPILLWAY_VLLM_ARGS": CPU_ARGS}
    config = CONFIG.format(model_dir=model_dir)
    with running_stack(folder, config, engine="vllm", environ=environ, ready_s=300.0) as running:
        yield running


def _ask() -> list[dict[str, str]]:
    return [{"role": "user", "content": "Hi"}]


@pytest.mark.vllm
@pytest.mark.timeout(400)
def test_the_real_engine_serves_through_the_gateway(real: Stack) -> None:
    """Unary and streamed answers come from the own pool, are not labelled as simulated, and are metered exactly."""
    client = real.client()
    raw = client.chat.completions.with_raw_response.create(model="llama-8b", messages=_ask(), max_tokens=8)
    assert raw.headers["x-spillway-target"] == "llama-8b"
    assert "x-spillway-simulated" not in raw.headers
    usage = raw.parse().usage
    assert usage is not None
    assert usage.completion_tokens == 8
    chunks = list(
        client.chat.completions.create(
            model="llama-8b", messages=_ask(), max_tokens=8, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8
    eventually(lambda: real.gateway_metric("spillway_in_flight") == 0, within_s=3)


@pytest.mark.vllm
@pytest.mark.timeout(400)
def test_a_pool_without_weights_spills(real: Stack) -> None:
    """Its requests go where the pool spills to, and the answer says so."""
    raw = real.client().chat.completions.with_raw_response.create(model="mixtral-8x7b", messages=_ask(), max_tokens=4)
    assert raw.headers["x-spillway-target"] == "openai"
    assert raw.headers["x-spillway-spilled"] == "no_replica"
    assert raw.headers["x-spillway-simulated"] == "true"


@pytest.mark.vllm
@pytest.mark.timeout(400)
def test_the_controller_sees_the_real_engine(real: Stack) -> None:
    """One ready replica that is not simulated, with its metrics read a moment ago."""
    pools = real.status()["pools"]
    assert isinstance(pools, dict)
    (replica,) = pools["llama-8b"]["replicas"]
    assert replica["state"] == "ready"
    assert not replica["simulated"]
    assert replica["seen_at_s"] is not None
    assert replica["kv_cache_usage_ratio"] is not None
