"""vCPUs a stack may need at its most, by the quota of EC2 that they count against."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from infra.regions import instance_facts
from infra.schema import Block, GpuPoolSettings, Spot, StackSettings

# Service Quotas, service ec2: vCPUs of running instances, by family and by whether they are spot.
CODES = {
    ("g", False): ("L-DB2E81BA", "Running On-Demand G and VT instances"),
    ("p", False): ("L-417A185B", "Running On-Demand P instances"),
    ("standard", False): ("L-1216C47A", "Running On-Demand Standard instances"),
    ("g", True): ("L-3819A6DF", "All G and VT Spot Instance Requests"),
    ("p", True): ("L-7212CCBC", "All P Spot Instance Requests"),
    ("standard", True): ("L-34B43A08", "All Standard Spot Instance Requests"),
}
OTHER = "other"
_LETTERS = re.compile(r"[a-z]+")
_STANDARD = frozenset({"a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"})


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaNeed:
    """What the stack asks of one quota; `parts` say of which nodes it is made."""

    code: str
    name: str
    vcpus: int
    parts: str


def code_of(instance_type: str, is_spot: bool) -> str:
    """The quota an instance counts against, by the first letters of its type; `other` for families with their own."""
    letters = _LETTERS.match(instance_type)
    family = "" if letters is None else letters[0]
    if family in _STANDARD:
        return CODES["standard", is_spot][0]
    if family in {"g", "gr", "vt"}:
        return CODES["g", is_spot][0]
    return CODES["p", is_spot][0] if family == "p" else OTHER


def quota_needs(settings: StackSettings) -> tuple[QuotaNeed, ...]:
    """With every group of nodes at its most; capacity blocks do not count against these quotas."""
    sums: dict[str, list[tuple[str, int]]] = {}
    core = settings.core_nodes
    groups = [("core nodes", core.instance_type, core.max_nodes, False)]
    groups += [(f"pool {name}", *group) for name, pool in settings.gpu_pools.items() for group in _groups(pool)]
    names = dict(CODES.values())
    for what, kind, most, is_spot in groups:
        facts = instance_facts()[kind]
        part = f"{what} {most} x {facts.vcpus}"
        sums.setdefault(CODES[facts.quota, is_spot][0], []).append((part, most * facts.vcpus))
    return tuple(
        QuotaNeed(
            code=code,
            name=names[code],
            vcpus=sum(vcpus for _, vcpus in parts),
            parts=" + ".join(part for part, _ in parts),
        )
        for code, parts in sums.items()
    )


def _groups(pool: GpuPoolSettings) -> Iterator[tuple[str, int, bool]]:
    """(instance type, most nodes, is spot): two groups where on demand stands behind spot."""
    if isinstance(pool.capacity, Block):
        return
    is_spot = isinstance(pool.capacity, Spot)
    yield pool.instance_type, pool.max_nodes, is_spot
    if isinstance(pool.capacity, Spot) and pool.capacity.fallback == "on-demand":
        yield pool.instance_type, pool.max_nodes, False
