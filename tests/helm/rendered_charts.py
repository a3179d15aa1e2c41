"""Renders the charts with the real helm, and reads their files; for the tests here and in tests/cluster."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.programs import ROOT, built

HELM = ROOT / "helm"
CHARTS = ("ops", "serving")
KUBERNETES = "1.34.2"
RELEASE = "demo"
NAMESPACE = "spillway"

Json = dict[str, Any]


def values_files() -> list[Path]:
    """Every values file that a chart ships: one per feature, and the ready ones."""
    return sorted(
        path for chart in CHARTS for part in ("ci", "values") for path in (HELM / chart / part).glob("*.yaml")
    )


def file_id(path: Path) -> str:
    """`serving/ci/sim-values`."""
    return str(path.relative_to(HELM).with_suffix(""))


def chart_of(path: Path) -> str:
    """The chart that a values file is for."""
    return path.relative_to(HELM).parts[0]


def load(path: Path) -> Json:
    """A YAML file as values."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def values_of(path: Path) -> Json:
    """What holds with that values file: the chart's defaults with its words laid over."""
    return _laid_over(load(HELM / chart_of(path) / "values.yaml"), load(path))


def _laid_over(below: Json, above: Mapping[str, Any]) -> Json:
    result = dict(below)
    for key, value in above.items():
        lower = result.get(key)
        result[key] = _laid_over(lower, value) if isinstance(value, dict) and isinstance(lower, dict) else value
    return result


def run_helm(*words: str) -> subprocess.CompletedProcess[str]:
    """The real helm, that leaves nothing in the home folder."""
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, **{f"HELM_{kind}_HOME": home for kind in ("CACHE", "CONFIG", "DATA")}}
        command = [built("helm"), *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


@cache
def rendered_text(chart: str, path: Path | None, release: str = RELEASE) -> str:
    """The manifests of a chart with a values file, as text."""
    given = () if path is None else ("-f", str(path))
    done = run_helm("template", release, str(HELM / chart), "-n", NAMESPACE, "--kube-version", KUBERNETES, *given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(path: Path) -> list[Json]:
    """The objects that a chart makes with a values file, tests of the release too."""
    return [document for document in yaml.safe_load_all(rendered_text(chart_of(path), path)) if document]


def refusal(chart: str, values: Json) -> str:
    """What helm says to these values; an error when it takes them."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        done = run_helm("template", RELEASE, str(HELM / chart), "--kube-version", KUBERNETES, "-f", file.name)
    assert done.returncode != 0, f"{values} was taken"
    return done.stderr


def of_kind(objects: list[Json], *kinds: str) -> list[Json]:
    """Those of some kinds."""
    return [one for one in objects if one["kind"] in kinds]


def pods(objects: list[Json]) -> Iterator[Json]:
    """Every pod or template of pods: metadata and spec."""
    for one in objects:
        if one["kind"] == "Pod":
            yield one
        elif one["kind"] in {"Deployment", "Job", "StatefulSet", "DaemonSet"}:
            yield one["spec"]["template"]


def containers(objects: list[Json]) -> Iterator[Json]:
    """Every container of every pod."""
    for pod in pods(objects):
        yield from (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])
