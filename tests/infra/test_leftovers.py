"""What a stack left behind, by what its ARN names."""

from __future__ import annotations

import pytest

from infra.aws.facts import Tagged
from infra.leftovers import leftovers, tags_of
from infra.leftovers.kinds import kind_of

EC2 = "arn:aws:ec2:us-east-1:123456789012"
ARNS = {
    f"{EC2}:instance/i-0123456789abcdef0": ("instance", "i-0123456789abcdef0", True),
    f"{EC2}:volume/vol-1": ("disk", "vol-1", True),
    f"{EC2}:natgateway/nat-1": ("NAT gateway", "nat-1", True),
    f"{EC2}:elastic-ip/eipalloc-1": ("address", "eipalloc-1", True),
    f"{EC2}:vpc/vpc-1": ("ec2 vpc", "vpc-1", False),
    f"{EC2}:security-group/sg-1": ("ec2 security-group", "sg-1", False),
    "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/a/1": ("load balancer", "net/a/1", True),
    "arn:aws:eks:us-east-1:123456789012:cluster/spillway-test": ("EKS control plane", "spillway-test", True),
    "arn:aws:rds:us-east-1:123456789012:db:ledger": ("database", "ledger", True),
    "arn:aws:s3:::weights-of-spillway-test": ("bucket", "weights-of-spillway-test", True),
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:a/b-x1": ("secret", "a/b-x1", True),
    "arn:aws:logs:us-east-1:123456789012:log-group:/aws/eks/spillway-test/cluster": (
        "logs", "/aws/eks/spillway-test/cluster", True,
    ),
    "arn:aws:kms:us-east-1:123456789012:key/1-2": ("key", "1-2", True),
    "arn:aws:sns:us-east-1:123456789012:alarms": ("sns resource", "alarms", False),
}  # fmt: skip


@pytest.mark.parametrize("arn", ARNS)
def test_an_arn_names_its_kind(arn: str) -> None:
    """Slash or colon between type and id, or none; whether it bills is known by type."""
    words, identifier, bills = ARNS[arn]
    kind = kind_of(arn)
    assert (kind.words, kind.id, bool(kind.bills)) == (words, identifier, bills)


def test_what_bills_comes_first_and_the_dead_are_left_out() -> None:
    """An instance that is terminated keeps its tags for an hour."""
    vpc, volume, instance = f"{EC2}:vpc/vpc-1", f"{EC2}:volume/vol-1", f"{EC2}:instance/i-1"
    rows = leftovers(
        [Tagged(arn=vpc, tag="a"), Tagged(arn=volume, tag="b"), Tagged(arn=instance, tag="a", alive=False)]
    )
    assert [(row.arn, row.tag) for row in rows] == [(volume, "b"), (vpc, "a")]


def test_a_stack_is_found_by_its_own_tag_and_by_those_of_its_cluster() -> None:
    """What controllers in the cluster make does not carry the program's tag."""
    assert list(tags_of("spillway-test").items())[:3] == [
        ("spillway:stack", "spillway-test"),
        ("kubernetes.io/cluster/spillway-test", None),
        ("elbv2.k8s.aws/cluster", "spillway-test"),
    ]
