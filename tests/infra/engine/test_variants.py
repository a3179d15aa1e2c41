"""What a stack may be instead of what the shipped stacks are: each stands up, is checked whole, and leaves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.infra.engine.conftest import Start
from tests.infra.engine.engine import ROOT, change_settings
from tests.infra.engine.state import checked_inputs, compare

TODAY = datetime.now(UTC).date()
BLOCK = {
    "kind": "capacity-block",
    "id": "cr-0123456789abcdef0",
    "starts_at": f"{TODAY - timedelta(days=1)}T11:30:00Z",  # open
    "ends_at": f"{TODAY + timedelta(days=6)}T11:30:00Z",
}
VARIANTS = [
    pytest.param({"node_autoscaling": {"kind": "karpenter"}, "model_store": {"cache": "efs"}}, id="karpenter, efs"),
    pytest.param(
        {
            "observability": {"metrics": "managed-prometheus", "alarm_emails": ["platform@example.com"]},
            "model_store": {"cache": "fsx"},
            "edge": {
                "kind": "public",
                "hostname": "llm.example.com",
                "hosted_zone": "Z0123456789ABC",
                "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/0123abcd",
                "waf": True,
            },
        },
        id="managed metrics, fsx, public",
    ),
    pytest.param(
        {
            "gpu_pools": {
                "a100": {
                    "instance_type": "p4d.24xlarge",
                    "capacity": BLOCK,
                    "availability_zones": ["us-east-1a"],
                    "usd_per_hour": 14.75,
                }
            },
            "models": {"mixtral": {"model": "mixtral-8x7b-self", "pool": "a100", "tensor_parallel": 4}},
            "node_autoscaling": {"kind": "none"},
            "model_store": {"source": "bucket"},
            "budget_usd_per_month": 50_000,
        },
        id="capacity block, weights from the bucket",
    ),
]


def _change(config: dict[str, Any], variant: Mapping[str, Any]) -> None:
    for key, value in variant.items():
        before = config.get(f"spillway:{key}")
        is_kept = isinstance(before, dict) and key not in {"gpu_pools", "models"}
        config[f"spillway:{key}"] = {**before, **value} if is_kept else value


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_stands_up_and_leaves_nothing(start: Start, api: Mapping[str, str], variant: dict[str, Any]) -> None:
    """On the real API; the second up changes nothing, every input was held against the schema."""
    engine = start(ROOT / "infra", "dev", api)
    change_settings(engine, lambda config: _change(config, variant))
    engine.up()
    assert compare(engine) == (set(), set())
    inputs, seen = checked_inputs(engine)
    assert inputs - seen == set()
    assert engine.up().changed == 0
    engine.destroy()
    assert (engine.aws.things, engine.kubernetes.things) == ([], [])
