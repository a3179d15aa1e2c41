"""Bad ModelPools on a real API with the real controller: told within 30 s, on that pool alone, with what mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.handle import ControlPlane
from tests.cluster.ports import free_ports
from tests.modelpool.pool_cases import SPILLWAY_YAML, crd, model_pool

NAMESPACE = "bad-pools"
TOLD_S = 30.0
START_S, STOP_S = 90.0, 20.0
MIXTRAL = {"model": "mixtral-8x7b-self", "instanceType": "p4d.24xlarge"}
POOLS: dict[str, dict[str, Any]] = {
    "good": {},
    "there": {**MIXTRAL, "engine": {"tensorParallel": 4}, "spill": {"to": ["llama-70b-self", "gpt-6-terra"]}},
    "mistyped": {"model": "llama-8b-slef"},
    "bought": {"model": "gpt-6-luna"},
    "lost-link": {"spill": {"to": ["gpt-6-luma"]}},
    "too-big": {**MIXTRAL, "engine": {"tensorParallel": 2}},
    "way-back": {
        "model": "llama-70b-self",
        "instanceType": "p4d.24xlarge",
        "engine": {"tensorParallel": 4, "weights": "Int8"},
        "spill": {"to": ["mixtral-8x7b-self", "gpt-6-terra"]},
    },
    "same-target": {"scaleTargetRef": {"name": "good"}},
    "no-target": {},
    "no-key": {"spill": {"to": ["gpt-6-luna"]}},
    "dead-link": {"spill": {"to": ["llama-8b-groq"]}},
}
REFUSED = {
    "mistyped": "no such model; did you mean llama-8b-self?",
    "bought": "a pool needs an own model",
    "lost-link": "no such model; did you mean gpt-6-luna?",
    "too-big": "tensorParallel 2, Fp8 weights",
    "way-back": "the chain loops: way-back -> there -> way-back",
    "same-target": "modelpool/good has this Deployment already",
}


def _deployment(name: str) -> dict[str, object]:
    labels = {"app": name}
    container = {"name": "engine", "image": "engine", "ports": [{"containerPort": 8000}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A controller that leads, and then all of these pools, one after another."""
    control_plane.apply(crd())
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/modelpools.spillway.dev")
    control_plane.kubectl("create", "namespace", NAMESPACE)
    with _controller(control_plane, tmp_path_factory.mktemp("controller")):
        control_plane.apply(*(_deployment(name) for name in POOLS if name not in ("no-target", "same-target")))
        for name, spec in POOLS.items():
            given = json.dumps(model_pool(name, spec))
            control_plane.kubectl("create", "-n", NAMESPACE, "-f", "-", given=given)
        yield control_plane


@contextmanager
def _controller(plane: ControlPlane, folder: Path) -> Iterator[None]:
    """The product's own process, without a key of any provider, once it leads."""
    (port,) = free_ports(1)
    config, log = folder / "spillway.yaml", folder / "log"
    config.write_text(f"{SPILLWAY_YAML}\ncontroller: {{port: {port}}}\n", encoding="utf-8")
    words = ("--namespace", NAMESPACE, "--config", str(config), "--state-dir", str(folder))
    with log.open("wb") as written:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("spillway"), "controller", "--platform", "kubernetes", *words],
            env={**_without_keys(os.environ), **plane.environ},
            stdout=written,
            stderr=written,
        )
    try:
        deadline_s = time.monotonic() + START_S
        while "spillway-controller" not in plane.kubectl("get", "leases", "-n", NAMESPACE, "-o", "name"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline_s, log.read_text(encoding="utf-8")
            time.sleep(0.3)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        finally:
            process.kill()


def _without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.endswith("_API_KEY")}


def _until(api: ControlPlane, name: str, kind: str, status: str, reason: str) -> str:
    """The message of the condition, once it is so."""
    deadline_s = time.monotonic() + TOLD_S
    while True:
        found = json.loads(api.kubectl("get", "spool", name, "-n", NAMESPACE, "-o", "json"))
        said: dict[str, Any] = next(
            (one for one in found.get("status", {}).get("conditions", []) if one["type"] == kind), {}
        )
        if (said.get("status"), said.get("reason")) == (status, reason):
            return str(said["message"])
        assert time.monotonic() < deadline_s, found.get("status")
        time.sleep(0.3)


@pytest.mark.parametrize("name", REFUSED)
def test_a_pool_that_cannot_be_says_why(api: ControlPlane, name: str) -> None:
    """Not ready and stalled, with the same words."""
    assert REFUSED[name] in _until(api, name, "Ready", "False", "InvalidSpec")
    assert REFUSED[name] in _until(api, name, "Stalled", "True", "InvalidSpec")


def test_a_target_that_is_not_there_is_told(api: ControlPlane) -> None:
    """With what to do about it."""
    said = _until(api, "no-target", "Stalled", "True", "TargetNotFound")
    assert said == "there is no Deployment 'no-target' in this namespace: make it, or mend `spec.scaleTargetRef.name`."


def test_links_that_cannot_be_used_are_told_and_the_pool_goes_on(api: ControlPlane) -> None:
    """A provider without a key, a model that is gone."""
    assert "`OPENAI_API_KEY` is not set" in _until(api, "no-key", "Spilling", "False", "TargetUnusable")
    assert "ended on 2026-08-16" in _until(api, "dead-link", "Spilling", "False", "TargetUnusable")
    for name in ("no-key", "dead-link"):
        _until(api, name, "Stalled", "False", "Unobstructed")


def test_others_go_on(api: ControlPlane) -> None:
    """Good ones are sized and scaled beside all that."""
    for name in ("good", "there"):
        _until(api, name, "Stalled", "False", "Unobstructed")
        found = json.loads(api.kubectl("get", "spool", name, "-n", NAMESPACE, "-o", "json"))
        assert found["status"]["replicas"]["desired"] == 1
        scale = json.loads(api.kubectl("get", "deployment", name, "-n", NAMESPACE, "-o", "json"))
        assert scale["spec"]["replicas"] == 1


def test_events_say_it_too(api: ControlPlane) -> None:
    """Once for each pool, as `kubectl describe` shows them."""
    _until(api, "mistyped", "Stalled", "True", "InvalidSpec")
    deadline_s = time.monotonic() + TOLD_S
    while "InvalidSpec" not in (said := _events(api, "mistyped")):
        assert time.monotonic() < deadline_s, said
        time.sleep(0.3)
    assert said.count("InvalidSpec") == 1
    assert "did you mean llama-8b-self?" in said


def _events(api: ControlPlane, name: str) -> str:
    return api.kubectl("describe", "spool", name, "-n", NAMESPACE).split("Events:")[1]


def test_what_is_mended_recovers_and_what_is_spoilt_goes_on(api: ControlPlane) -> None:
    """A correction takes effect; a mistake in a pool that is in use leaves it as it was, and says so."""
    mended = '{"spec":{"spill":{"to":["gpt-6-luna"]}}}'
    api.kubectl("patch", "spool", "lost-link", "-n", NAMESPACE, "--type=merge", "-p", mended)
    _until(api, "lost-link", "Stalled", "False", "Unobstructed")
    _until(api, "there", "Stalled", "False", "Unobstructed")
    spoilt = '{"spec":{"spill":{"to":["nothing"]}}}'
    api.kubectl("patch", "spool", "there", "-n", NAMESPACE, "--type=merge", "-p", spoilt)
    assert "The pool goes on as it was before." in _until(api, "there", "Stalled", "True", "InvalidSpec")
    found = json.loads(api.kubectl("get", "spool", "there", "-n", NAMESPACE, "-o", "json"))
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert found["status"]["replicas"]["desired"] == 1
    assert "chain loops" in _until(api, "way-back", "Stalled", "True", "InvalidSpec")
