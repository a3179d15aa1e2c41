"""EC2: zones, offerings, what runs, reservations, capacity blocks, spot prices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from infra.aws.access import asked
from infra.aws.facts import BlockOffer, ReservationFact


def zones(ec2: Any) -> dict[str, str]:
    """Zone names of the account with their ids, those alone that it may use."""
    with asked("ec2:DescribeAvailabilityZones"):
        answer = ec2.describe_availability_zones(Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}])
    return {zone["ZoneName"]: zone["ZoneId"] for zone in answer["AvailabilityZones"] if zone["State"] == "available"}


def offerings(ec2: Any, instance_types: Iterable[str]) -> dict[str, frozenset[str]]:
    """Zone names that offer each instance type; none for one that the region does not have."""
    wanted = sorted(set(instance_types))
    found: dict[str, set[str]] = {kind: set() for kind in wanted}
    with asked("ec2:DescribeInstanceTypeOfferings"):
        pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": wanted}]
        )
        for page in pages:
            for row in page["InstanceTypeOfferings"]:
                found.setdefault(row["InstanceType"], set()).add(row["Location"])
    return {kind: frozenset(found[kind]) for kind in wanted}


def running_vcpus(ec2: Any, code_of: Callable[[str, bool], str]) -> dict[str, int]:
    """vCPUs of instances that run or start, by quota code; `code_of` (instance type, is spot) says which it is."""
    used: dict[str, int] = {}
    with asked("ec2:DescribeInstances"):
        pages = ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        )
        for page in pages:
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    cpu = instance.get("CpuOptions", {})
                    vcpus = int(cpu.get("CoreCount", 0)) * int(cpu.get("ThreadsPerCore", 0))
                    code = code_of(instance["InstanceType"], instance.get("InstanceLifecycle") == "spot")
                    used[code] = used.get(code, 0) + vcpus
    return used


def reservations(ec2: Any, ids: Iterable[str]) -> dict[str, ReservationFact]:
    """The reservations of the account with these ids; those it does not have are absent."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    with asked("ec2:DescribeCapacityReservations"):
        answer = ec2.describe_capacity_reservations(
            Filters=[{"Name": "state", "Values": ["active", "pending", "scheduled", "payment-pending"]}]
        )
    return {
        row["CapacityReservationId"]: ReservationFact(
            instance_type=row["InstanceType"],
            zone=row["AvailabilityZone"],
            state=row["State"],
            instances=row["TotalInstanceCount"],
            starts_at=row.get("StartDate"),
            ends_at=row.get("EndDate"),
        )
        for row in answer["CapacityReservations"]
        if row["CapacityReservationId"] in wanted
    }


def block_offers(
    ec2: Any, *, instance_type: str, instances: int, hours: int, starts_from: datetime
) -> tuple[BlockOffer, ...]:
    """Capacity blocks of that size and length that can be bought, the cheapest first."""
    with asked("ec2:DescribeCapacityBlockOfferings"):
        answer = ec2.describe_capacity_block_offerings(
            InstanceType=instance_type,
            InstanceCount=instances,
            CapacityDurationHours=hours,
            StartDateRange=starts_from,
        )
    offers = [
        BlockOffer(
            id=row["CapacityBlockOfferingId"],
            instance_type=row["InstanceType"],
            zone=row["AvailabilityZone"],
            instances=row["InstanceCount"],
            hours=row["CapacityBlockDurationHours"],
            starts_at=row["StartDate"],
            ends_at=row["EndDate"],
            upfront_usd=float(row["UpfrontFee"]),
        )
        for row in answer["CapacityBlockOfferings"]
    ]
    return tuple(sorted(offers, key=lambda offer: (offer.upfront_usd, offer.starts_at)))


def spot_prices(ec2: Any, instance_types: Iterable[str], now: datetime) -> dict[str, tuple[float, float]]:
    """Lowest and highest USD an hour over the zones, now."""
    wanted = sorted(set(instance_types))
    seen: dict[str, list[float]] = {}
    if wanted:
        with asked("ec2:DescribeSpotPriceHistory"):
            answer = ec2.describe_spot_price_history(
                InstanceTypes=wanted, ProductDescriptions=["Linux/UNIX"], StartTime=now, EndTime=now
            )
        for row in answer["SpotPriceHistory"]:
            seen.setdefault(row["InstanceType"], []).append(float(row["SpotPrice"]))
    return {kind: (min(prices), max(prices)) for kind, prices in seen.items()}


def gone(ec2: Any, ids: Mapping[str, str]) -> frozenset[str]:
    """Of these ids of instances and NAT gateways (to their kind), those that are deleted already."""
    dead: set[str] = set()
    instances = [key for key, kind in ids.items() if kind == "instance"]
    gateways = [key for key, kind in ids.items() if kind == "natgateway"]
    if instances:
        with asked("ec2:DescribeInstances"):
            answer = ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": instances}])
        states = {
            row["InstanceId"]: row["State"]["Name"] for group in answer["Reservations"] for row in group["Instances"]
        }
        dead |= {key for key in instances if states.get(key, "terminated") == "terminated"}
    if gateways:
        with asked("ec2:DescribeNatGateways"):
            answer = ec2.describe_nat_gateways(Filters=[{"Name": "nat-gateway-id", "Values": gateways}])
        alive = {row["NatGatewayId"] for row in answer["NatGateways"] if row["State"] not in {"deleted", "deleting"}}
        dead |= set(gateways) - alive
    return frozenset(dead)
