"""The compose files say what spillway.yaml says, and what they start fits the box."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import pytest

from controller.catalogue.fit import memory_fit
from controller.catalogue.load import load_catalogue
from controller.config.load import load_settings
from controller.config.settings import Settings
from controller.core.pools import Pool
from tests.docker.compose import FILES, NEEDED, read, services
from tests.docker.images import ROOT

pytestmark = pytest.mark.cluster  # docker compose is built by scripts/cluster-tools.sh
ENGINES = ("llama-8b", "mixtral-8x7b", "llama-70b")
BOX = "p4d.24xlarge"


@pytest.fixture(scope="module")
def settings() -> Settings:
    """docker/spillway.yaml, checked as the gateway checks it."""
    return load_settings(ROOT / "docker/spillway.yaml", {}, today=date(2026, 11, 26))


def _flags(service: dict[str, object]) -> dict[str, str]:
    command = service["command"]
    assert isinstance(command, list)
    return dict(str(word).split("=", 1) for word in command if "=" in str(word))


def _gpus(service: dict[str, object]) -> list[str]:
    deploy = service["deploy"]
    assert isinstance(deploy, dict)
    (device,) = deploy["resources"]["reservations"]["devices"]
    return [str(one) for one in device["device_ids"]]


@pytest.mark.parametrize("name", ENGINES)
def test_each_model_fits_its_part_of_the_box(settings: Settings, name: str) -> None:
    """Weights, overhead and at least four sequences of full length: more than a demo. The README has the figures."""
    pool = settings.pools[name]
    architecture = settings.models[pool.model].architecture
    assert architecture is not None
    assert pool.instance_type == BOX
    shape = load_catalogue().gpus[BOX]
    fit = memory_fit(architecture, pool.engine, shape, max_model_len_tokens=pool.engine.max_model_len_tokens)
    assert fit.verdict in ("fits", "good"), fit.reason
    (row,) = [line for line in (ROOT / "docker/README.md").read_text().splitlines() if line.startswith(f"| {name} |")]
    assert f"| {fit.kv_cache_tokens:,} tokens, {int(fit.sequences_at_max_len)}" in row


def test_what_was_asked_for_first_would_not_fit(settings: Settings) -> None:
    """Mixtral with bf16 weights on two A100-40: the check that the sizes above pass can fail."""
    pool = settings.pools["mixtral-8x7b"]
    architecture = settings.models[pool.model].architecture
    assert architecture is not None
    engine = replace(pool.engine, weights="bf16")
    fit = memory_fit(architecture, engine, load_catalogue().gpus[BOX], max_model_len_tokens=16384)
    assert not fit.fits


def test_no_gpu_is_given_twice() -> None:
    """As many as tensor parallelism needs, each one once, all of them there."""
    found = services("gpu")
    taken = [gpu for name in ENGINES for gpu in _gpus(found[name])]
    assert len(taken) == len(set(taken))
    assert set(taken) <= {str(number) for number in range(load_catalogue().gpus[BOX].gpus)}
    for name in ENGINES:
        assert len(_gpus(found[name])) == int(_flags(found[name])["--tensor-parallel-size"])


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("file", ["gpu", "sim"])
def test_engines_start_with_the_sizes_that_the_gateway_predicts_from(settings: Settings, file: str, name: str) -> None:
    """Every size in the command line is the pool's; the name is the one that requests carry."""
    pool = settings.pools[name]
    flags = _flags(services(file)[name])
    parallel = flags["--tensor-parallel-size" if file == "gpu" else "--tensor-parallel"]
    assert int(parallel) == pool.engine.tensor_parallel
    assert int(flags["--max-model-len"]) == pool.engine.max_model_len_tokens
    assert int(flags["--max-num-seqs"]) == pool.engine.max_num_seqs
    assert int(flags["--max-num-batched-tokens"]) == pool.engine.max_num_batched_tokens
    assert float(flags["--gpu-memory-utilization"]) == pool.engine.gpu_memory_utilization_ratio
    if file == "gpu":
        assert flags["--served-model-name"] == settings.models[pool.model].model_id
        assert flags.get("--quantization") == ({"fp8": "fp8"}.get(pool.engine.weights))
    else:
        assert flags.get("--weights", "bf16") == pool.engine.weights
        assert flags["--model-key"] == pool.model


@pytest.mark.parametrize("file", ["gpu", "sim"])
def test_ports_are_those_that_were_asked_for(settings: Settings, file: str) -> None:
    """8001 to 8003 lead to 8000 of the engines, on the box alone; the gateway's API alone is open to other machines."""
    found = services(file)
    for number, name in enumerate(ENGINES):
        assert _published(found[name]) == [("127.0.0.1", str(8001 + number), 8000)]
        assert settings.pools[name].endpoints == (f"http://{name}:8000",)
    open_to_all = [(name, port) for name, service in found.items() for host, port, _ in _published(service) if not host]
    assert open_to_all == [("gateway", "8080")]


def _published(service: dict[str, object]) -> list[tuple[str, str, int]]:
    ports = service.get("ports", [])
    assert isinstance(ports, list)
    return [(str(port.get("host_ip", "")), str(port["published"]), int(port["target"])) for port in ports]


@pytest.mark.parametrize("file", ["gpu", "sim"])
def test_every_container_is_held(file: str) -> None:
    """A root that is read-only, no capability, no way to get one, and longer to leave than open answers may take."""
    for name, service in services(file).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["stop_grace_period"] == "2m30s", name
        assert "privileged" not in service, name


@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_a_secret_that_is_missing_is_named(missing: str) -> None:
    """Nothing starts with an empty key; the refusal says what to set."""
    done = read(FILES["gpu"], {name: value for name, value in NEEDED.items() if name != missing})
    assert done.returncode != 0
    assert re.search(rf"{missing} is missing a value: set {missing} to", done.stderr), done.stderr


def test_keys_of_providers_come_from_the_shell_or_are_not_there() -> None:
    """A key that is not set is not handed on as an empty one."""
    unset = services("gpu")["gateway"]["environment"]
    assert isinstance(unset, dict)
    assert unset.get("OPENAI_API_KEY") is None
    done = read(FILES["gpu"], {**NEEDED, "OPENAI_API_KEY": "sk-test"})
    assert '"OPENAI_API_KEY": "sk-test"' in done.stdout


def test_the_pools_are_those_of_the_file(settings: Settings) -> None:
    """Three pools with fixed replicas: nothing is started or stopped by the controller."""
    pools: list[Pool] = list(settings.pools.values())
    assert tuple(pool.name for pool in pools) == ENGINES
    assert all(len(pool.endpoints) == 1 for pool in pools)
