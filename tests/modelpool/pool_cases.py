"""ModelPools as data: the cases of `cases/`, each laid over the least object that is good."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "cases"
CRD_FILE = Path(__file__).parents[2] / "helm" / "ops" / "files" / "modelpool-crd.yaml"
TODAY = date(2026, 11, 26)
SPILLWAY_YAML = """
models:
  house-8b:
    {provider: self-hosted, model_id: house-8b, tier: 1, capabilities: [text, json], context_tokens: 8192,
     max_output_tokens: 4096, planning_usd_per_1k_tokens: 0.00003, as_of: 2026-11-01,
     architecture: {hf_id: house/8b, parameters: 8030261248, embedding_parameters: 1050673152,
       layers: 32, kv_heads: 8, head_dim: 128, dtype: bf16}}
  plain: {provider: openai, model_id: plain, tier: 1, capabilities: [text], context_tokens: 8192,
    max_output_tokens: 4096, usd_per_mtok_in: 1, usd_per_mtok_out: 1, source: own, as_of: 2026-11-01}
node_pools:
  p4d: {instance_type: p4d.24xlarge, nodes: 1}
"""
KEYS = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "TOGETHER_API_KEY"), "x")

Case = dict[str, Any]


def cases(name: str) -> list[Case]:
    """All cases of one file."""
    found: list[Case] = yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return found


def crd() -> dict[str, Any]:
    """The definition as the chart has it."""
    found: dict[str, Any] = yaml.load(CRD_FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return found


def schema() -> dict[str, Any]:
    """The schema of a ModelPool."""
    found: dict[str, Any] = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def model_pool(name: str, spec: Mapping[str, Any] | None = None, **metadata: object) -> dict[str, Any]:
    """An object as somebody applies it: `spec` merged over the least one."""
    least = {"model": "llama-8b-self", "scaleTargetRef": {"name": name}}
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name, **metadata},
        "spec": merged(least, spec or {}),
    }


def stored(name: str, spec: Mapping[str, Any] | None = None, **metadata: object) -> dict[str, Any]:
    """The object as the API has stored it."""
    kept = {"uid": f"uid-{name}", "generation": 1, "creationTimestamp": "2026-11-26T10:00:00Z", "resourceVersion": "7"}
    return model_pool(name, spec, **{**kept, **metadata})


def merged(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON merge patch."""
    found = {key: value for key, value in base.items() if key not in patch or patch[key] is not None}
    for key, value in patch.items():
        if isinstance(value, Mapping):
            below = found.get(key)
            found[key] = merged(below if isinstance(below, Mapping) else {}, value)
        elif value is not None:
            found[key] = value
    return found
