"""Each read-only call against botocore's model of it: what is asked, what the answer becomes, how it may fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from infra.aws import ec2, pricing, secrets_manager, service_quotas, ssm, tagging
from infra.aws.access import Access, AwsError, answer_or_why
from infra.aws.facts import BlockOffer, Identity, ReservationFact, Tagged, Unanswered
from infra.aws.identity import identity
from infra.preflight.quotas import code_of

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
STARTS, ENDS = datetime(2026, 12, 1, 11, 30, tzinfo=UTC), datetime(2026, 12, 2, 11, 30, tzinfo=UTC)
PRICE = {
    "terms": {
        "OnDemand": {
            "a": {
                "priceDimensions": {
                    "b": {"pricePerUnit": {"USD": "21.9576420000"}},
                    "c": {"pricePerUnit": {"USD": "0.0000000000"}},
                }
            }
        }
    }
}


@contextmanager
def stubbed(service: str, *calls: tuple[str, dict[str, Any], dict[str, Any]]) -> Iterator[Any]:
    """A client that answers these calls in this order, and nothing else; all of them have to be made."""
    client = boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        for operation, wanted, answer in calls:
            stubber.add_response(operation, answer, wanted)
        yield client
        stubber.assert_no_pending_responses()


def test_who_asks() -> None:
    """Account and ARN."""
    answer = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/platform", "UserId": "u"}
    with stubbed("sts", ("get_caller_identity", {}, answer)) as sts:
        assert identity(sts) == Identity(account="123456789012", arn="arn:aws:iam::123456789012:user/platform")


def test_quotas_by_code() -> None:
    """One call for each."""
    calls = [
        ("get_service_quota", {"ServiceCode": "ec2", "QuotaCode": code}, {"Quota": {"Value": value}})
        for code, value in (("L-417A185B", 96.0), ("L-DB2E81BA", 0.0))
    ]
    with stubbed("service-quotas", *calls) as client:
        assert service_quotas.ec2_quotas(client, ["L-417A185B", "L-DB2E81BA"]) == {
            "L-417A185B": 96.0,
            "L-DB2E81BA": 0.0,
        }


def test_zones_that_can_be_used() -> None:
    """With their ids; one that is impaired is none."""
    rows = [
        {"ZoneName": "us-east-1a", "ZoneId": "use1-az1", "State": "available"},
        {"ZoneName": "us-east-1b", "ZoneId": "use1-az2", "State": "impaired"},
    ]
    wanted = {"Filters": [{"Name": "zone-type", "Values": ["availability-zone"]}]}
    with stubbed("ec2", ("describe_availability_zones", wanted, {"AvailabilityZones": rows})) as client:
        assert ec2.zones(client) == {"us-east-1a": "use1-az1"}


def test_offerings_over_pages() -> None:
    """A type that is nowhere has no zones."""
    wanted = {
        "LocationType": "availability-zone",
        "Filters": [{"Name": "instance-type", "Values": ["g5.2xlarge", "p9.xlarge"]}],
    }
    first = {"InstanceTypeOfferings": [{"InstanceType": "g5.2xlarge", "Location": "us-east-1a"}], "NextToken": "t"}
    second = {"InstanceTypeOfferings": [{"InstanceType": "g5.2xlarge", "Location": "us-east-1b"}]}
    with stubbed(
        "ec2",
        ("describe_instance_type_offerings", wanted, first),
        ("describe_instance_type_offerings", {**wanted, "NextToken": "t"}, second),
    ) as client:
        assert ec2.offerings(client, ["p9.xlarge", "g5.2xlarge"]) == {
            "g5.2xlarge": frozenset({"us-east-1a", "us-east-1b"}),
            "p9.xlarge": frozenset(),
        }


def test_what_runs_counts_against_its_quota() -> None:
    """Cores times threads, spot apart."""
    cpu = {"CoreCount": 4, "ThreadsPerCore": 2}
    instances = [
        {"InstanceType": "g5.2xlarge", "CpuOptions": cpu},
        {"InstanceType": "g5.2xlarge", "CpuOptions": cpu, "InstanceLifecycle": "spot"},
        {"InstanceType": "m6a.2xlarge", "CpuOptions": cpu},
    ]
    wanted = {"Filters": [{"Name": "instance-state-name", "Values": ["pending", "running"]}]}
    with stubbed("ec2", ("describe_instances", wanted, {"Reservations": [{"Instances": instances}]})) as client:
        assert ec2.running_vcpus(client, code_of) == {"L-DB2E81BA": 8, "L-3819A6DF": 8, "L-1216C47A": 8}


def test_reservations_by_id() -> None:
    """Those of the account that were asked for; without any nothing is asked."""
    row = {
        "CapacityReservationId": "cr-1",
        "InstanceType": "p4d.24xlarge",
        "AvailabilityZone": "us-east-1b",
        "State": "scheduled",
        "TotalInstanceCount": 1,
        "StartDate": STARTS,
        "EndDate": ENDS,
    }
    answer = {"CapacityReservations": [row, {**row, "CapacityReservationId": "cr-2"}]}
    with stubbed("ec2", ("describe_capacity_reservations", {"Filters": ANY}, answer)) as client:
        assert ec2.reservations(client, ["cr-1", "cr-3"]) == {
            "cr-1": ReservationFact(
                instance_type="p4d.24xlarge",
                zone="us-east-1b",
                state="scheduled",
                instances=1,
                starts_at=STARTS,
                ends_at=ENDS,
            )
        }
    with stubbed("ec2") as client:
        assert ec2.reservations(client, []) == {}


def test_capacity_blocks_the_cheapest_first() -> None:
    """Of the size and length that was asked for."""
    row = {
        "CapacityBlockOfferingId": "cbr-1",
        "InstanceType": "p4d.24xlarge",
        "AvailabilityZone": "us-east-2a",
        "InstanceCount": 1,
        "CapacityBlockDurationHours": 24,
        "StartDate": STARTS,
        "EndDate": ENDS,
        "UpfrontFee": "400.00",
    }
    wanted = {"InstanceType": "p4d.24xlarge", "InstanceCount": 1, "CapacityDurationHours": 24, "StartDateRange": NOW}
    answer = {"CapacityBlockOfferings": [row, {**row, "CapacityBlockOfferingId": "cbr-2", "UpfrontFee": "354.00"}]}
    with stubbed("ec2", ("describe_capacity_block_offerings", wanted, answer)) as client:
        offers = ec2.block_offers(client, instance_type="p4d.24xlarge", instances=1, hours=24, starts_from=NOW)
    assert [(offer.id, offer.upfront_usd) for offer in offers] == [("cbr-2", 354.0), ("cbr-1", 400.0)]
    assert isinstance(offers[0], BlockOffer)


def test_spot_over_the_zones() -> None:
    """Lowest and highest; without a type nothing is asked."""
    rows = [{"InstanceType": "g5.2xlarge", "SpotPrice": price} for price in ("0.6241", "0.4445", "0.5")]
    wanted = {
        "InstanceTypes": ["g5.2xlarge"],
        "ProductDescriptions": ["Linux/UNIX"],
        "StartTime": NOW,
        "EndTime": NOW,
    }
    with stubbed("ec2", ("describe_spot_price_history", wanted, {"SpotPriceHistory": rows})) as client:
        assert ec2.spot_prices(client, ["g5.2xlarge", "g5.2xlarge"], NOW) == {"g5.2xlarge": (0.4445, 0.6241)}
    with stubbed("ec2") as client:
        assert ec2.spot_prices(client, [], NOW) == {}


def test_what_is_gone_keeps_its_tags_for_a_while() -> None:
    """Terminated instances, deleted gateways, and those that are not known any more."""
    states = {"i-1": "running", "i-2": "terminated"}
    instances = [{"InstanceId": key, "State": {"Name": state}} for key, state in states.items()]
    gateways = [{"NatGatewayId": "nat-1", "State": "available"}, {"NatGatewayId": "nat-2", "State": "deleted"}]
    kinds = dict.fromkeys(("i-1", "i-2", "i-3"), "instance") | dict.fromkeys(("nat-1", "nat-2"), "natgateway")
    with stubbed(
        "ec2",
        ("describe_instances", {"Filters": ANY}, {"Reservations": [{"Instances": instances}]}),
        ("describe_nat_gateways", {"Filters": ANY}, {"NatGateways": gateways}),
    ) as client:
        assert ec2.gone(client, kinds) == frozenset({"i-2", "i-3", "nat-2"})
    with stubbed("ec2") as client:
        assert ec2.gone(client, {}) == frozenset()


def test_images_by_parameter() -> None:
    """None where AWS has no such parameter."""
    answer = {"Parameters": [{"Name": "/aws/a", "Value": "ami-1"}], "InvalidParameters": ["/aws/b"]}
    with stubbed("ssm", ("get_parameters", {"Names": ["/aws/a", "/aws/b"]}, answer)) as client:
        assert ssm.images(client, ["/aws/b", "/aws/a"]) == {"/aws/a": "ami-1", "/aws/b": None}


def test_list_prices_on_demand() -> None:
    """The price above zero; a type without one is absent."""
    calls = [
        ("get_products", {"ServiceCode": "AmazonEC2", "Filters": ANY}, {"PriceList": [json.dumps(PRICE)]}),
        ("get_products", {"ServiceCode": "AmazonEC2", "Filters": ANY}, {"PriceList": []}),
    ]
    with stubbed("pricing", *calls) as client:
        assert pricing.on_demand_prices(client, "us-east-1", ["p4d.24xlarge", "p9.xlarge"]) == {
            "p4d.24xlarge": 21.957642
        }


def test_secrets_are_looked_for_and_never_read() -> None:
    """One that waits for its deletion counts as gone, and so does one that is not there."""
    client = boto3.client("secretsmanager", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        stubber.add_response("describe_secret", {"Name": "a"}, {"SecretId": "a"})
        stubber.add_response("describe_secret", {"Name": "b", "DeletedDate": NOW}, {"SecretId": "b"})
        stubber.add_client_error("describe_secret", "ResourceNotFoundException", "no such secret")
        assert secrets_manager.present(client, ["c", "b", "a"]) == {"a": True, "b": False, "c": False}
        stubber.add_client_error("describe_secret", "AccessDeniedException", "not yours")
        with pytest.raises(AwsError, match="secretsmanager:DescribeSecret: AccessDeniedException: not yours"):
            secrets_manager.present(client, ["a"])


def test_resources_by_any_tag_once() -> None:
    """Under the first tag that found it."""
    row: Callable[[str], dict[str, Any]] = lambda arn: {"ResourceARN": arn, "Tags": []}  # noqa: E731 - one line, twice
    calls = [
        ("get_resources", {"TagFilters": [{"Key": "k", "Values": ["v"]}]}, {"ResourceTagMappingList": [row("arn:b")]}),
        ("get_resources", {"TagFilters": [{"Key": "x"}]}, {"ResourceTagMappingList": [row("arn:a"), row("arn:b")]}),
    ]
    with stubbed("resourcegroupstaggingapi", *calls) as client:
        assert tagging.tagged(client, {"k": "v", "x": None}) == (
            Tagged(arn="arn:a", tag="x"),
            Tagged(arn="arn:b", tag="k=v"),
        )


def test_a_refusal_is_an_answer_that_says_why() -> None:
    """With the call and AWS's own words; the questions after it are asked all the same."""
    client = boto3.client("sts", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        stubber.add_client_error("get_caller_identity", "ExpiredToken", "the token is expired")
        answer = answer_or_why(lambda: identity(client))
    assert answer == Unanswered(call="sts:GetCallerIdentity", why="ExpiredToken: the token is expired")


def test_without_credentials_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """botocore's own errors come in the same form; a profile that is not there is refused at once."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AwsError, match="Unable to locate credentials"):
        identity(Access("us-east-1").client("sts"))
    with pytest.raises(AwsError, match="session: The config profile"):
        Access("us-east-1", "nobody")
