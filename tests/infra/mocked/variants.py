"""Stacks that between them make every component in every way it can be made, run once each."""

from __future__ import annotations

from functools import cache

from infra.settings import from_config
from infra.stack import build
from tests.infra.mocked.registered import Recorder, run
from tests.infra.stacks import TODAY, changed

CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/x"
BLOCK = {
    "kind": "capacity-block",
    "id": "cr-0123456789abcdef0",
    "starts_at": "2100-12-01T11:30:00Z",
    "ends_at": "2100-12-08T11:30:00Z",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MAILS = ["platform@example.com"]
VARIANTS: dict[str, dict[str, object]] = {
    "as-it-is": {},
    "karpenter": {"node_autoscaling.kind": "karpenter", "gpu_pools.a10g.capacity": {"kind": "spot"}},
    "karpenter-reserved": {
        "node_autoscaling.kind": "karpenter",
        "gpu_pools.a100.capacity": {"kind": "capacity-reservation", "id": "cr-0123456789abcdef0"},
        "gpu_pools.a10g.capacity": {"kind": "spot", "fallback": "none"},
    },
    "no-autoscaling": {"node_autoscaling.kind": "none", "network.flow_logs": False, "network.pods_cidr": None},
    "spot": {"gpu_pools.a10g.capacity": {"kind": "spot"}, "network.single_nat_gateway": True},
    "spot-alone": {"gpu_pools.a10g.capacity": {"kind": "spot", "fallback": "none"}},
    "reservation": {"gpu_pools.a100.capacity": {"kind": "capacity-reservation", "id": "cr-0123456789abcdef0"}},
    "block": {
        "region": "us-east-2",
        "gpu_pools.a100.capacity": BLOCK,
        "gpu_pools.a100.availability_zones": ["us-east-2a"],
        "gpu_pools.a100.desired_nodes": 0,
        "gpu_pools.a100.placement_group": True,
    },
    "efs": {"model_store.cache": "efs", "network.endpoints": ["s3"]},
    "fsx": {"model_store.cache": "fsx", "cluster.bin_packing": False},
    "bucket": {"model_store.source": "bucket", "secrets.hf_token": None},
    "own-weights": {
        "models.mixtral": {
            "model": "mixtral-8x7b-self",
            "pool": "a100",
            "tensor_parallel": 2,
            "dtype": "fp8",
            "repository": "my-company/mixtral-fp8",
            "revision": COMMIT,
        }
    },
    "public": {
        "edge": {"kind": "public", "certificate_arn": CERTIFICATE, "waf": True, "allowed_cidrs": ["203.0.113.0/24"]},
        "cluster.public_endpoint_cidrs": ["203.0.113.0/24"],
        "cluster.admin_role_arns": ["arn:aws:iam::123456789012:role/platform"],
    },
    "named": {"edge": {"hostname": "llm.example.com", "hosted_zone": "Z0123456789ABC"}},
    "no-edge": {"edge.kind": "none", "observability.metrics": "none", "models": {}, "secrets": {}},
    "managed-prometheus": {"observability.metrics": "managed-prometheus"},
    "told": {
        "observability": {"alarm_emails": MAILS, "budget_alert_emails": MAILS},
        "secrets.provider_keys": {"OPENAI_API_KEY": "spillway/test/openai", "GROQ_API_KEY": "spillway/test/groq"},
    },
    "for-trial": {
        "cluster.deletion_protection": False,
        "database": {"deletion_protection": False, "multi_az": False},
        "model_store.force_destroy": True,
    },
}


@cache
def recorded(variant: str) -> Recorder:
    """What that stack registers."""
    settings = from_config(changed(VARIANTS[variant]), today=TODAY)
    return run(lambda: build(settings))
