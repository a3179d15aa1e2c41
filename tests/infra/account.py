"""What AWS says of an account that has everything the good stack needs, and changes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from stacks import changed

from infra.aws.facts import AccountFacts, BlockOffer, Identity, ReservationFact
from infra.schema import StackSettings

RESERVED = "cr-0123456789abcdef0"
IMAGE = "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/{}/recommended/image_id"
ZONES = frozenset({"us-east-1a", "us-east-1b", "us-east-1c"})
STARTS, ENDS = datetime(2026, 12, 1, 11, 30, tzinfo=UTC), datetime(2026, 12, 8, 11, 30, tzinfo=UTC)
OFFER = BlockOffer(
    id="cbr-0123456789abcdef0",
    instance_type="p4d.24xlarge",
    zone="us-east-1b",
    instances=1,
    hours=168,
    starts_at=STARTS,
    ends_at=ENDS,
    upfront_usd=2478.0,
)
HELD = ReservationFact(
    instance_type="p4d.24xlarge", zone="us-east-1b", state="active", instances=1, starts_at=STARTS, ends_at=ENDS
)
FACTS = AccountFacts(
    identity=Identity(account="123456789012", arn="arn:aws:iam::123456789012:user/platform"),
    quotas={"L-DB2E81BA": 16.0, "L-417A185B": 96.0, "L-1216C47A": 64.0, "L-3819A6DF": 16.0},
    vcpus_running={},
    zones={"us-east-1a": "use1-az1", "us-east-1b": "use1-az2", "us-east-1c": "use1-az4"},
    offerings={"g5.2xlarge": ZONES, "p4d.24xlarge": ZONES, "m6a.xlarge": ZONES},
    images={IMAGE.format("standard"): "ami-0123456789abcdef0", IMAGE.format("nvidia"): "ami-0123456789abcdef1"},
    reservations={},
    block_offers={},
    usd_per_hour={"g5.2xlarge": 1.212, "p4d.24xlarge": 21.957642},
    spot_usd_per_hour={},
    secrets={"spillway-test/gateway": True, "spillway/test/hf-token": True},
)


def settings_of(changes: dict[str, object]) -> StackSettings:
    """The good stack with changes."""
    return StackSettings.model_validate(changed(changes))


def facts_of(**changes: object) -> AccountFacts:
    """The good account with changes."""
    return replace(FACTS, **changes)  # type: ignore[arg-type]  # names and values stand in the tables of the tests
