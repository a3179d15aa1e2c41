"""What the charts' files say without helm: pages that are made, ready sizes that fit, versions that agree."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

from controller.autoscale.capacity import token_budget_at_slo
from controller.catalogue.fit import GIB, Fit, memory_fit, weights_bytes
from controller.catalogue.load import load_catalogue, pool_step_times
from controller.core.models import Architecture
from controller.core.pools import EngineArgs, Slo
from tests.helm.rendered_charts import CHARTS, HELM, ROOT, Json, file_id, load, values_of

TODAY = date(2026, 11, 26)
READY = sorted((HELM / "serving" / "values").glob("*.yaml"))
ON_GPUS = [HELM / "serving" / "values.yaml", *(path for path in READY if path.stem not in {"cpu", "sim"})]


def _engine(values: Json) -> EngineArgs:
    engine = values["engine"]
    return EngineArgs(
        tensor_parallel=engine["tensorParallel"],
        max_model_len_tokens=engine["maxModelLenTokens"],
        max_num_seqs=engine["maxNumSeqs"],
        max_num_batched_tokens=engine["maxNumBatchedTokens"],
        gpu_memory_utilization_ratio=engine["gpuMemoryUtilizationPercent"] / 100,
        weights=engine["weights"].lower(),
        block_size_tokens=engine["blockSizeTokens"],
    )


def _architecture(values: Json) -> Architecture:
    found = load_catalogue().models[values["model"]["key"]].architecture
    assert found is not None
    return found


def _fit(values: Json) -> Fit:
    engine, gpus = _engine(values), load_catalogue().gpus
    return memory_fit(
        _architecture(values),
        engine,
        gpus[values["modelPool"]["instanceType"]],
        max_model_len_tokens=engine.max_model_len_tokens,
    )


def test_schemas_and_tables_are_made_from_the_values() -> None:
    """Nobody has edited them by hand, and no value is without a comment or out of the schema."""
    script = ROOT / "scripts" / "chart_pages.py"
    done = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", ON_GPUS, ids=file_id)
def test_ready_pools_fit_their_gpu(path: Path) -> None:
    """With room for four sequences of full length at least."""
    fit = _fit(values_of(path))
    assert fit.verdict in {"fits", "good"}, fit.reason


@pytest.mark.parametrize("path", ON_GPUS, ids=file_id)
def test_the_sizes_that_are_told_are_those_of_the_arithmetic(path: Path) -> None:
    """KV cache tokens in the heading, weights that size the startup probe, the token budget that keeps the SLO."""
    values = values_of(path)
    engine = _engine(values)
    weights_gib = weights_bytes(_architecture(values), engine.weights) / GIB
    assert weights_gib <= values["model"]["weightsGibibytes"] <= 1.05 * weights_gib + 1
    shape = load_catalogue().gpus[values["modelPool"]["instanceType"]]
    steps, scaled = pool_step_times(load_catalogue().models[values["model"]["key"]], engine, shape)
    slo = values["modelPool"]["slo"]
    promised = Slo(ttft_p95_s=slo["ttftP95Milliseconds"] / 1000, tpot_p95_s=slo["tpotP95Milliseconds"] / 1000)
    assert not scaled
    assert engine.max_num_batched_tokens == token_budget_at_slo(steps, engine, promised)
    said = re.findall(r"([\d,]+) tokens of KV cache", path.read_text(encoding="utf-8"))
    assert said in ([], [f"{_fit(values).kv_cache_tokens:,}"])


def test_what_the_pages_say_does_not_fit_does_not() -> None:
    """Mixtral in bf16 on two A100-40, and almost nothing left of the 70B in bf16 on four."""
    mixtral = values_of(HELM / "serving" / "values" / "mixtral-p4d.yaml")
    mixtral["engine"]["tensorParallel"] = 2
    assert _fit(mixtral).verdict == "no"
    llama = values_of(HELM / "serving" / "values" / "llama-70b-p4d.yaml")
    llama["engine"]["weights"] = "Bf16"
    assert _fit(llama).verdict in {"no", "demo only"}


@pytest.mark.parametrize("path", [HELM / "serving" / "values.yaml", *READY], ids=file_id)
def test_ready_pools_are_those_of_the_catalogue(path: Path) -> None:
    """Served under the name that the gateway asks for, spilling to models that are sold."""
    values, models = values_of(path), load_catalogue().models
    model = models[values["model"]["key"]]
    assert values["model"]["servedName"] == model.model_id
    assert values["engine"]["maxModelLenTokens"] <= model.context_tokens
    for key in values["modelPool"]["spill"]["to"]:
        target = models[key]
        assert not target.is_own
        assert target.shutdown_date is None or target.shutdown_date > TODAY
    hub = values["model"]["hub"]
    if hub["repository"] and values["engine"]["weights"] == "Bf16":
        assert hub["repository"] == _architecture(values).hf_id
    assert bool(hub["repository"]) == bool(re.fullmatch("[0-9a-f]{40}", hub["revision"]))


def test_mixtral_and_the_70b_fill_one_node_together() -> None:
    """One replica of each takes no more than its GPUs, CPUs and memory (96 vCPU, 1,152 GiB)."""
    both = [values_of(HELM / "serving" / "values" / f"{name}-p4d.yaml") for name in ("mixtral", "llama-70b")]
    assert {values["modelPool"]["instanceType"] for values in both} == {"p4d.24xlarge"}
    assert sum(values["engine"]["tensorParallel"] for values in both) == load_catalogue().gpus["p4d.24xlarge"].gpus
    assert sum(int(values["resources"]["requests"]["cpu"]) for values in both) <= 94
    limits = [int(values["resources"]["limits"]["memory"].removesuffix("Gi")) for values in both]
    assert sum(limits) + sum(values["sharedMemoryGibibytes"] for values in both) <= 1100


@pytest.mark.parametrize("chart", CHARTS)
def test_versions_agree(chart: str) -> None:
    """appVersion is the product's, images of the annotation and of the page are those of the values."""
    about = load(HELM / chart / "Chart.yaml")
    product = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert about["appVersion"] == about["version"] == product
    images = {one["image"] for one in yaml.safe_load(about["annotations"]["artifacthub.io/images"])}
    files = [HELM / chart / "values.yaml", *(HELM / chart / "values").glob("*.yaml")]
    assert images == {f"{values_of(path)['image']['repository']}:{product}" for path in files}
    page = (HELM / chart / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(spillway/[^`]+)`", page.partition("## Images")[2], re.MULTILINE))
    assert listed == images


@pytest.mark.parametrize("chart", CHARTS)
def test_every_value_is_read_by_a_template(chart: str) -> None:
    """Its name, or that of a part of it that is passed on whole, stands in one."""
    templates = "".join(path.read_text(encoding="utf-8") for path in (HELM / chart / "templates").rglob("*.*"))
    names = set(re.findall(r"\.([a-zA-Z]+)", templates))
    page = (HELM / chart / "README.md").read_text(encoding="utf-8")
    for path in re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE):
        steps = path.split(".")
        whole = [step for step in steps[:-1] if re.search(rf"toYaml [$\w.]*\.{step} ", templates)]
        assert steps[-1] in names or whole, path


@pytest.mark.parametrize("chart", CHARTS)
def test_values_files_say_what_they_are_for(chart: str) -> None:
    """Each begins with a sentence, and the page names those that are ready."""
    page = (HELM / chart / "README.md").read_text(encoding="utf-8")
    for path in (HELM / chart).glob("*/*.yaml"):
        if path.parent.name in {"ci", "values"}:
            assert path.read_text(encoding="utf-8").startswith("# "), path
        if path.parent.name == "values":
            assert f"`values/{path.name}`" in page


def test_the_startup_probe_waits_for_the_slowest_read() -> None:
    """15 GiB at 60 MiB/s and 300 s are 556 s, less than the 15 minutes that the page waits."""
    values = load(HELM / "serving" / "values.yaml")
    seconds = math.ceil(values["model"]["weightsGibibytes"] * 1024 / values["startup"]["readMebibytesPerSecond"])
    assert seconds + values["startup"]["initSeconds"] == 556
    assert (
        json.loads((HELM / "serving" / "values.schema.json").read_text(encoding="utf-8"))["additionalProperties"]
        is False
    )
