"""Asks AWS what carries the tags of a stack, and whether it is still alive."""

from __future__ import annotations

from dataclasses import replace

from infra.aws import ec2, tagging
from infra.aws.access import Access
from infra.aws.facts import Tagged
from infra.leftovers.find import tags_of


def gather(access: Access, name: str) -> tuple[Tagged, ...]:
    """Resources with a tag of the stack; instances and NAT gateways that are gone are marked, as tags outlive them."""
    found = tagging.tagged(access.client("resourcegroupstaggingapi"), tags_of(name))
    ids = {tagged.arn.rpartition("/")[2]: tagged.arn.split(":", 5)[5].partition("/")[0] for tagged in found}
    dead = ec2.gone(
        access.client("ec2"), {key: kind for key, kind in ids.items() if kind in {"instance", "natgateway"}}
    )
    return tuple(replace(tagged, alive=tagged.arn.rpartition("/")[2] not in dead) for tagged in found)
