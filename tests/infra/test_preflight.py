"""What an account lacks for a stack: each finding with its command, unanswered calls told as such."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from account import FACTS, HELD, IMAGE, OFFER, RESERVED, ZONES, facts_of, settings_of

from infra.aws.facts import Unanswered
from infra.preflight import judge
from infra.preflight.quotas import code_of, quota_needs

A100 = "gpu_pools.a100"
DENIED = Unanswered(call="some:Call", why="AccessDenied: no")
BLOCK = {
    "kind": "capacity-block",
    "id": RESERVED,
    "starts_at": "2026-12-01T11:30:00Z",
    "ends_at": "2026-12-08T11:30:00Z",
}
IN_BLOCK: dict[str, object] = {f"{A100}.capacity": BLOCK, f"{A100}.availability_zones": ["us-east-1b"]}
SPOT: dict[str, object] = {"gpu_pools.a10g.capacity": {"kind": "spot"}}
OWN: dict[str, object] = {f"{A100}.capacity": {"kind": "capacity-reservation", "id": RESERVED}}


def test_an_account_that_has_everything_lacks_nothing() -> None:
    """Every finding is ok, and there is one for each thing that was asked."""
    findings = judge(settings_of({}), FACTS)
    assert {finding.state for finding in findings} == {"ok"}
    assert [finding.subject for finding in findings] == [
        "identity",
        "quota L-1216C47A",
        "quota L-DB2E81BA",
        "quota L-417A185B",
        "zone us-east-1a",
        "zone us-east-1b",
        "zone us-east-1c",
        "offering m6a.xlarge",
        "offering g5.2xlarge",
        "offering p4d.24xlarge",
        "image",
        "image",
        "secret",
        "secret",
        "price g5.2xlarge",
        "price p4d.24xlarge",
    ]


REQUEST = "aws service-quotas request-service-quota-increase --region us-east-1 --service-code ec2 --quota-code "
# name: (changes of the stack, changes of the account, state, subject, part of the words, command)
LACKS: dict[str, tuple[dict[str, object], dict[str, Any], str, str, str, str]] = {
    "nobody": ({}, {"identity": DENIED}, "missing", "identity", "some:Call: AccessDenied: no", "aws configure sso"),
    "p-quota-of-a-new-account": (
        {}, {"quotas": {**FACTS.quotas, "L-417A185B": 0.0}}, "missing", "quota L-417A185B",
        "Running On-Demand P instances: pool a100 1 x 96 = 96 vCPUs, the quota is 0",
        f"{REQUEST}L-417A185B --desired-value 96",
    ),
    "quota-that-others-use": (
        {}, {"vcpus_running": {"L-DB2E81BA": 8}}, "warning", "quota L-DB2E81BA",
        "16 vCPUs beside 8 that run, the quota is 16: enough if what runs is this stack, else ask for 24", "",
    ),
    "quota-of-spot": (
        SPOT, {"quotas": {**FACTS.quotas, "L-3819A6DF": 8.0}}, "missing", "quota L-3819A6DF",
        "All G and VT Spot Instance Requests: pool a10g 2 x 8 = 16 vCPUs, the quota is 8",
        f"{REQUEST}L-3819A6DF --desired-value 16",
    ),
    "quotas-not-told": ({}, {"quotas": DENIED}, "unknown", "quotas", "some:Call: AccessDenied: no", ""),
    "running-not-told": ({}, {"vcpus_running": DENIED}, "unknown", "what runs already", "AccessDenied", ""),
    "zone-of-others": (
        {}, {"zones": {"us-east-1a": "use1-az1", "us-east-1b": "use1-az2"}}, "missing", "zone us-east-1c",
        "this account cannot use it; it can use us-east-1a, us-east-1b", "",
    ),
    "zone-that-eks-does-not-take": (
        {}, {"zones": {"us-east-1a": "use1-az1", "us-east-1b": "use1-az3", "us-east-1c": "use1-az4"}}, "missing",
        "zone us-east-1b", "is use1-az3 in this account, where EKS takes no subnets", "",
    ),
    "zones-not-told": ({}, {"zones": DENIED}, "unknown", "zones", "AccessDenied", ""),
    "zone-without-the-type": (
        {}, {"offerings": {**FACTS.offerings, "p4d.24xlarge": ZONES - {"us-east-1c"}}}, "missing",
        "offering p4d.24xlarge", "not in us-east-1c of this account; it is in us-east-1a, us-east-1b", "",
    ),
    "region-without-the-type": (
        {}, {"offerings": {**FACTS.offerings, "g5.2xlarge": frozenset()}}, "missing", "offering g5.2xlarge",
        "it is in no zone of the region", "",
    ),
    "offerings-not-told": ({}, {"offerings": DENIED}, "unknown", "offerings", "AccessDenied", ""),
    "no-image": (
        {}, {"images": {**FACTS.images, IMAGE.format("nvidia"): None}}, "missing", "image",
        f"{IMAGE.format('nvidia')} is not there", "",
    ),
    "images-not-told": ({}, {"images": DENIED}, "unknown", "images", "AccessDenied", ""),
    "no-reservation": (OWN, {}, "missing", "pool a100", f"the account has no reservation {RESERVED}", ""),
    "reservation-of-another-type": (
        OWN, {"reservations": {RESERVED: replace(HELD, instance_type="p5.48xlarge")}}, "missing", "pool a100",
        f"{RESERVED} is 1 x p5.48xlarge, the pool 1 x p4d.24xlarge", "",
    ),
    "reservation-elsewhere": (
        IN_BLOCK, {"reservations": {RESERVED: replace(HELD, zone="us-east-1a")}}, "missing", "pool a100",
        f"{RESERVED} is in us-east-1a", "",
    ),
    "reservation-held": (
        OWN, {"reservations": {RESERVED: HELD}}, "ok", "pool a100", "1 x p4d.24xlarge in us-east-1b, active", "",
    ),
    "reservations-not-told": (OWN, {"reservations": DENIED}, "unknown", "reservations", "AccessDenied", ""),
    "block-on-offer": (
        IN_BLOCK, {"block_offers": {"a100": (OFFER,)}}, "warning", "pool a100",
        "offered: 1 x p4d.24xlarge in us-east-1b, 2026-12-01T11:30:00+00:00 to 2026-12-08T11:30:00+00:00,"
        " 2,478.00 USD up front (14.7500 an hour each)",
        "aws ec2 purchase-capacity-block --region us-east-1 --capacity-block-offering-id cbr-0123456789abcdef0"
        " --instance-platform Linux/UNIX",
    ),
    "no-block-on-offer": (IN_BLOCK, {}, "missing", "pool a100", "no capacity block of that size and length", ""),
    "blocks-not-told": (IN_BLOCK, {"block_offers": DENIED}, "unknown", "pool a100", "AccessDenied", ""),
    "no-secret": (
        {}, {"secrets": {}}, "missing", "secret", "spillway/test/hf-token is not there: the token that fetches weights",
        "aws secretsmanager create-secret --region us-east-1 --name spillway/test/hf-token"
        " --secret-string file:///dev/stdin",
    ),
    "no-secret-of-the-gateway": (
        {}, {"secrets": {}}, "missing", "secret", "spillway-test/gateway is not there: JSON with engine-key and pepper",
        "aws secretsmanager create-secret --region us-east-1 --name spillway-test/gateway"
        " --secret-string file:///dev/stdin",
    ),
    "key-of-a-provider": (
        {"secrets.provider_keys": {"OPENAI_API_KEY": "spillway/test/openai"}}, {}, "missing", "secret",
        "spillway/test/openai is not there: the value of OPENAI_API_KEY",
        "aws secretsmanager create-secret --region us-east-1 --name spillway/test/openai"
        " --secret-string file:///dev/stdin",
    ),
    "secrets-not-told": ({}, {"secrets": DENIED}, "unknown", "secrets", "AccessDenied", ""),
    "price-that-changed": (
        {}, {"usd_per_hour": {**FACTS.usd_per_hour, "p4d.24xlarge": 32.7726}}, "warning", "price p4d.24xlarge",
        "32.7726 USD an hour on demand, the plan counts 21.9576", "",
    ),
    "price-the-plan-lacks": (
        {"region": "us-west-2", "gpu_pools.l4": {"instance_type": "g6.2xlarge"}},
        {"usd_per_hour": {"g6.2xlarge": 0.9776}}, "warning", "price g6.2xlarge",
        "0.9776 USD an hour on demand, not known to the plan: spillway:gpu_pools.l4.usd_per_hour", "",
    ),
    "price-not-listed": ({}, {"usd_per_hour": {}}, "unknown", "price g5.2xlarge", "the Price List has none", ""),
    "prices-not-told": ({}, {"usd_per_hour": DENIED}, "unknown", "prices", "AccessDenied", ""),
    "spot-now": (
        SPOT, {"spot_usd_per_hour": {"g5.2xlarge": (0.4, 0.6)}}, "ok", "spot price g5.2xlarge",
        "0.4000 to 0.6000 USD an hour by zone, the plan counts 0.6241", "",
    ),
    "no-spot-now": (SPOT, {}, "warning", "spot price g5.2xlarge", "no zone has any", ""),
    "spot-not-told": (SPOT, {"spot_usd_per_hour": DENIED}, "unknown", "spot price g5.2xlarge", "AccessDenied", ""),
}  # fmt: skip


@pytest.mark.parametrize("row", LACKS)
def test_what_an_account_lacks_is_told(row: str) -> None:
    """In its state, with the figures, and with what to type where typing helps."""
    stack, account, state, subject, words, command = LACKS[row]
    findings = judge(settings_of(stack), facts_of(**account))
    assert any(
        (finding.state, finding.subject, finding.command) == (state, subject, command) and words in finding.words
        for finding in findings
    ), findings


def test_capacity_blocks_need_no_quota() -> None:
    """AWS does not count them; spot with a fallback needs both of its quotas."""
    assert [need.code for need in quota_needs(settings_of(IN_BLOCK))] == ["L-1216C47A", "L-DB2E81BA"]
    assert [need.code for need in quota_needs(settings_of(SPOT))] == [
        "L-1216C47A",
        "L-3819A6DF",
        "L-DB2E81BA",
        "L-417A185B",
    ]


@pytest.mark.parametrize(
    ("kind", "is_spot", "code"),
    [
        ("g5.2xlarge", False, "L-DB2E81BA"),
        ("g6f.large", True, "L-3819A6DF"),
        ("vt1.3xlarge", False, "L-DB2E81BA"),
        ("p3.2xlarge", False, "L-417A185B"),
        ("t3.micro", False, "L-1216C47A"),
        ("x2idn.16xlarge", False, "other"),
        ("inf2.xlarge", False, "other"),
    ],
)
def test_an_instance_counts_against_the_quota_of_its_family(kind: str, is_spot: bool, code: str) -> None:
    """Also types that there is no data about."""
    assert code_of(kind, is_spot) == code
