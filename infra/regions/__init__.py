"""Regions, what they offer and what it costs: data with source and date."""

from __future__ import annotations

from infra.regions.load import eks_versions, instance_facts, load_region, on_demand_usd_per_hour, region_names
from infra.regions.rows import EksVersions, InstanceFacts, Region, ServicePrices
from infra.regions.zones import eks_zones, network_zones, offering_zones, pool_zones

__all__ = [
    "EksVersions",
    "InstanceFacts",
    "Region",
    "ServicePrices",
    "eks_versions",
    "eks_zones",
    "instance_facts",
    "load_region",
    "network_zones",
    "offering_zones",
    "on_demand_usd_per_hour",
    "pool_zones",
    "region_names",
]
