"""What preflight asks, in an account where most calls are refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from account import ENDS, OFFER, RESERVED, STARTS, settings_of
from botocore.stub import ANY, Stubber

from infra.aws.access import Access
from infra.aws.facts import Unanswered
from infra.preflight import judge
from infra.preflight.gather import gather

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
BLOCK = {
    "kind": "capacity-block",
    "id": RESERVED,
    "starts_at": "2026-12-01T11:30:00Z",
    "ends_at": "2026-12-08T11:30:00Z",
}


class OneClient(Access):
    """Gives out one stubbed client of EC2; every other service refuses."""

    def __init__(self, ec2: Any) -> None:
        super().__init__("us-east-1")
        self._ec2 = ec2

    def client(self, service: str, region: str | None = None) -> Any:
        """The stubbed one, or one whose calls have no answer."""
        if service == "ec2":
            return self._ec2
        client = boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        Stubber(client).activate()
        return client


@pytest.fixture
def refusing() -> Iterator[tuple[Access, Stubber]]:
    """The way to AWS, and what EC2 answers."""
    client = boto3.client("ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        yield OneClient(client), stubber


def test_refused_calls_hide_nothing_else(refusing: tuple[Access, Stubber]) -> None:
    """Each is told with its reason; the block that is not held leads to the question what could be bought."""
    access, stubber = refusing
    offer = {
        "CapacityBlockOfferingId": OFFER.id,
        "InstanceType": "p4d.24xlarge",
        "AvailabilityZone": "us-east-1b",
        "InstanceCount": 1,
        "CapacityBlockDurationHours": 168,
        "StartDate": STARTS,
        "EndDate": ENDS,
        "UpfrontFee": "2478.00",
    }
    stubber.add_response("describe_capacity_reservations", {"CapacityReservations": []}, {"Filters": ANY})
    for call in ("describe_instances", "describe_availability_zones", "describe_instance_type_offerings"):
        stubber.add_client_error(call, "UnauthorizedOperation", "not yours")
    stubber.add_response(
        "describe_capacity_block_offerings",
        {"CapacityBlockOfferings": [offer]},
        {"InstanceType": "p4d.24xlarge", "InstanceCount": 1, "CapacityDurationHours": 168, "StartDateRange": STARTS},
    )
    settings = settings_of({"gpu_pools.a100.capacity": BLOCK, "gpu_pools.a100.availability_zones": ["us-east-1b"]})
    facts = gather(access, settings, now=NOW)
    assert facts.block_offers == {"a100": (OFFER,)}
    assert facts.offerings == Unanswered(
        call="ec2:DescribeInstanceTypeOfferings", why="UnauthorizedOperation: not yours"
    )
    states = {finding.subject: finding.state for finding in judge(settings, facts)}
    assert states == {
        "identity": "missing",
        "quotas": "unknown",
        "zones": "unknown",
        "offerings": "unknown",
        "images": "unknown",
        "pool a100": "warning",
        "secrets": "unknown",
        "prices": "unknown",
    }


def test_where_reservations_are_not_told_no_block_is_asked_for(refusing: tuple[Access, Stubber]) -> None:
    """It may be held already."""
    access, stubber = refusing
    for call in (
        "describe_capacity_reservations",
        "describe_instances",
        "describe_availability_zones",
        "describe_instance_type_offerings",
    ):
        stubber.add_client_error(call, "UnauthorizedOperation", "not yours")
    settings = settings_of({"gpu_pools.a100.capacity": BLOCK, "gpu_pools.a100.availability_zones": ["us-east-1b"]})
    facts = gather(access, settings, now=NOW)
    assert facts.block_offers == {}
    assert isinstance(facts.reservations, Unanswered)
