"""Stacks for the tests: a good one, and changes of it by key."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from pathlib import Path

import yaml

TODAY = date(2026, 11, 26)
GOOD: dict[str, object] = {
    "name": "spillway-test",
    "region": "us-east-1",
    "budget_usd_per_month": 25000,
    "network": {"az_count": 3},
    "cluster": {"version": "1.35"},
    "gpu_pools": {
        "a10g": {"instance_type": "g5.2xlarge", "desired_nodes": 2, "max_nodes": 2},
        "a100": {"instance_type": "p4d.24xlarge"},
    },
    "models": {
        "llama-8b": {"model": "llama-8b-self", "pool": "a10g", "replicas": 2},
        "mixtral": {"model": "mixtral-8x7b-self", "pool": "a100", "tensor_parallel": 4},
    },
    "secrets": {"hf_token": "spillway/test/hf-token"},
}


def changed(changes: dict[str, object]) -> dict[str, object]:
    """The good stack with values at `dotted.places` set; `absent` takes the key away."""
    stack = deepcopy(GOOD)
    for place, value in changes.items():
        *above, last = place.split(".")
        node = stack
        for part in above:
            below = node.setdefault(part, {})
            assert isinstance(below, dict)
            node = below
        if value == "absent":
            node.pop(last, None)
        else:
            node[last] = value
    return stack


def write(folder: Path, stack: dict[str, object], name: str = "test") -> Path:
    """The stack as Pulumi's file."""
    file = folder / f"Pulumi.{name}.yaml"
    config = {f"spillway:{key}": value for key, value in stack.items()}
    file.write_text(yaml.safe_dump({"config": config}, sort_keys=False), encoding="utf-8")
    return file
