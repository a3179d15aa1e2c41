"""The data of the regions: whole, sourced, and in agreement with the catalogue."""

from __future__ import annotations

import pytest

from controller.catalogue import load_catalogue
from infra.checks.networks import max_pods, node_addresses
from infra.regions import (
    eks_zones,
    instance_facts,
    load_region,
    network_zones,
    offering_zones,
    on_demand_usd_per_hour,
    pool_zones,
    region_names,
)

GPUS = load_catalogue().gpus


@pytest.mark.parametrize("key", region_names())
def test_a_region_is_whole(key: str) -> None:
    """Types it offers are known, in zones it has; whatever has a price has a source and is offered."""
    region = load_region(key)
    assert set(region.offerings) <= set(instance_facts())
    assert set("".join(region.offerings.values())) <= set(region.zones)
    assert set(region.usd_per_hour) | set(region.spot_usd_per_hour) | set(region.block_usd_per_hour) <= set(
        region.offerings
    )
    assert all((region.offerings_source, region.usd_per_hour_source, region.spot_source))
    assert bool(region.block_usd_per_hour) == bool(region.block_source)
    assert all(0 < low <= high for low, high in region.spot_usd_per_hour.values())
    assert len(eks_zones(key)) >= 2


def test_every_gpu_type_of_the_catalogue_has_its_facts() -> None:
    """And counts against the quota of its family; in us-east-1 each is offered and has the catalogue's price."""
    for kind, shape in GPUS.items():
        assert instance_facts()[kind].quota == kind[0]
        assert offering_zones("us-east-1", kind)
        assert on_demand_usd_per_hour("us-east-1", kind) == float(shape.usd_per_hour)


def test_a_region_without_data_is_not_there() -> None:
    """Asked for by name, it is a KeyError."""
    with pytest.raises(KeyError, match="us-east-9"):
        load_region("us-east-9")


def test_zones_follow_from_region_and_type() -> None:
    """The first ones that EKS takes, unless they are chosen; of these, those that have the type."""
    assert network_zones("us-east-1", 2, ()) == ("us-east-1a", "us-east-1b")
    assert network_zones("us-east-1", 2, ("us-east-1d", "us-east-1f")) == ("us-east-1d", "us-east-1f")
    network = network_zones("eu-west-1", 3, ())
    assert pool_zones("eu-west-1", "p4d.24xlarge", network, ()) == ("eu-west-1c",)
    assert pool_zones("eu-west-1", "g5.2xlarge", network, ("eu-west-1b",)) == ("eu-west-1b",)
    assert "us-east-1e" not in eks_zones("us-east-1")


@pytest.mark.parametrize(
    ("vcpus", "pods", "addresses"), [(8, 110, 129), (29, 110, 129), (30, 250, 273), (96, 250, 273)]
)
def test_a_node_takes_whole_blocks_of_addresses(vcpus: int, pods: int, addresses: int) -> None:
    """ceil(110 / 16) + 1 warm = 8 blocks of 16 and its own address; ceil(250 / 16) + 1 = 17 of them."""
    assert (max_pods(vcpus), node_addresses(vcpus)) == (pods, addresses)
