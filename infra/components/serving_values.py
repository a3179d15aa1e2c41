"""Values of the serving chart for one model on one pool. From the chart's own of that model and the stack's wishes.

Repository, commit and timing of a model stand once, in helm/serving/values; what the stack says (pool, GPUs, length,
replicas) is laid over it, and CPU and memory follow from the node's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from infra.checks.weights import READY

Values = Mapping[str, object]
REQUESTED, ALLOWED = 0.6, 0.85  # of the node's memory, by GPU; CPU is requested to four fifths
CPU_SHARE = 0.8
# Where the agent on each node hands out a pod's AWS identity, by which it may read weights from the bucket.
POD_IDENTITY = {
    "to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}],
    "ports": [{"port": 80, "protocol": "TCP"}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What one node of the pool has."""

    instance_type: str
    gpus: int
    vcpus: int
    memory_gib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where weights are on the hub, if that is not what the values of helm/serving name."""

    repository: str
    revision: str
    served_name: str
    weights_gib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One pool of engines as the stack wants it. `revision` None: the commit that the chart's values name."""

    model: str
    dtype: str
    pool: str
    node: Node
    tensor_parallel: int
    replicas_min: int
    replicas_max: int
    max_model_len_tokens: int
    max_num_seqs: int
    gpu_memory_utilization_ratio: float
    revision: str | None
    repository: Repository | None
    hub_secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Where weights lie: a class of shared volumes, a claim that exists, or (neither) the pod's own disk."""

    storage_class: str | None = None
    claim: str | None = None


def base_values(charts: Path, model: str, dtype: str) -> dict[str, object]:
    """The chart's values of that model; empty where it has none."""
    name = READY.get((model, dtype))
    if name is None:
        return {}
    values: dict[str, object] = yaml.safe_load((charts / "serving" / "values" / name).read_text(encoding="utf-8"))
    return values


def serving_values(base: Mapping[str, object], engine: Engine, cache: Cache) -> dict[str, object]:
    """The chart's values of that engine."""
    share = engine.tensor_parallel / engine.node.gpus
    memory_gib = engine.node.memory_gib * share
    wanted: dict[str, object] = {
        "model": _model(engine),
        "engine": {
            "tensorParallel": engine.tensor_parallel,
            "maxModelLenTokens": engine.max_model_len_tokens,
            "maxNumSeqs": engine.max_num_seqs,
            "gpuMemoryUtilizationPercent": round(engine.gpu_memory_utilization_ratio * 100),
            "weights": engine.dtype.capitalize(),
        },
        "cache": _cache(cache),
        "resources": {
            "requests": {
                "cpu": str(max(1, int(engine.node.vcpus * share * CPU_SHARE))),
                "memory": f"{max(1, int(memory_gib * REQUESTED))}Gi",
            },
            "limits": {"memory": f"{max(2, int(memory_gib * ALLOWED))}Gi"},
        },
        "nodeSelector": {"spillway.dev/pool": engine.pool},
        "networkPolicy": {"extraEgress": [POD_IDENTITY]},
        "modelPool": {
            "instanceType": engine.node.instance_type,
            "nodePool": engine.pool,
            "replicas": {"min": engine.replicas_min, "max": engine.replicas_max},
        },
    }
    return merged({key: value for key, value in base.items() if key != "nodeSelector"}, wanted)


def merged(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Mappings laid over each other as Helm does: key by key, `above` wins, lists are replaced."""
    made = dict(below)
    for key, value in above.items():
        under = made.get(key)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        made[key] = merged(cast("Values", under), cast("Values", value)) if both else value
    return made


def _model(engine: Engine) -> dict[str, object]:
    hub: dict[str, object] = {"existingSecret": engine.hub_secret}
    made: dict[str, object] = {"key": engine.model, "hub": hub}
    if engine.repository is not None:
        hub |= {"repository": engine.repository.repository, "revision": engine.repository.revision}
        made |= {"servedName": engine.repository.served_name, "weightsGibibytes": engine.repository.weights_gib}
    elif engine.revision is not None:
        hub["revision"] = engine.revision
    return made


def _cache(cache: Cache) -> dict[str, object]:
    if cache.storage_class is not None:
        return {"type": "PersistentVolumeClaim", "storageClass": cache.storage_class}
    if cache.claim is not None:
        return {"type": "PersistentVolumeClaim", "existingClaim": cache.claim}
    # The kubelet's folder, and so the pod's own disk, is the node's NVMe.
    return {"type": "EmptyDir"}
