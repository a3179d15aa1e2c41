"""Facts of AWS that stand in no model: zones, where instance types are offered, versions in support."""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib import resources

EKS_VERSIONS = ("1.31", "1.32", "1.33", "1.34", "1.35")
POSTGRES_MAJORS = ("14", "15", "16", "17", "18")


@cache
def _offers(region: str) -> dict[str, frozenset[str]]:
    """Zones by instance type, as moto's copy of AWS's table of offerings has them."""
    file = resources.files("moto") / "ec2/resources/instance_type_offerings/availability-zone" / f"{region}.json.gz"
    found: dict[str, set[str]] = {}
    for row in json.loads(gzip.decompress(file.read_bytes())):
        found.setdefault(row["InstanceType"], set()).add(row["Location"])
    return {kind: frozenset(places) for kind, places in found.items()}


def offered_zones(region: str, instance_type: str) -> frozenset[str]:
    """Zones of the region that offer the type; empty: none, or no such type."""
    return _offers(region).get(instance_type, frozenset())


@cache
def zones(region: str) -> tuple[str, ...]:
    """All zones of a region, in order."""
    return tuple(sorted(set().union(*_offers(region).values())))
