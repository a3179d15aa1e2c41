"""What a stack left behind in an account: found by tags, billing first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from infra.aws.facts import Tagged
from infra.leftovers.kinds import kind_of
from infra.schema.stack import STACK_TAG


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One resource that is still there; `bills` says how it costs money, empty if it does not."""

    kind: str
    id: str
    bills: str
    tag: str
    arn: str


def tags_of(name: str) -> dict[str, str | None]:
    """Tags that say a resource is of the stack: the program's own, and those of what the cluster itself made."""
    return {
        STACK_TAG: name,
        f"kubernetes.io/cluster/{name}": None,  # instances, disks of claims, load balancers of services
        "elbv2.k8s.aws/cluster": name,  # the load balancer controller
        "eks:cluster-name": name,  # node groups and what they launched
        "aws:eks:cluster-name": name,  # what EKS made for itself
        "KubernetesCluster": name,  # disks and snapshots of the EBS driver
    }


def leftovers(found: Iterable[Tagged]) -> tuple[Leftover, ...]:
    """Those that are really there; what bills comes first, then by kind and id."""
    rows = [
        Leftover(kind=kind.words, id=kind.id, bills=kind.bills, tag=tagged.tag, arn=tagged.arn)
        for tagged in found
        if tagged.alive
        for kind in (kind_of(tagged.arn),)
    ]
    return tuple(sorted(rows, key=lambda row: (not row.bills, row.kind, row.id)))
