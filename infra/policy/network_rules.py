"""Nothing is open to the whole internet. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from infra.policy.resources import Judged, at

EVERYONE = {"0.0.0.0/0", "::/0"}


def _cluster(one: Judged) -> Iterator[str]:
    if not next(at(one.inputs, "vpcConfig", "endpointPrivateAccess"), False):
        yield "has no private endpoint; endpointPrivateAccess must be true"
    if not next(at(one.inputs, "vpcConfig", "endpointPublicAccess"), True):
        return
    networks = set(at(one.inputs, "vpcConfig", "publicAccessCidrs"))
    if not networks or networks & EVERYONE:
        yield "shows the Kubernetes API to everyone; publicAccessCidrs must name networks, and not 0.0.0.0/0"


def _group(one: Judged) -> Iterator[str]:
    places = (("cidrIpv4",), ("cidrIpv6",), ("ingress", "cidrBlocks"), ("ingress", "ipv6CidrBlocks"))
    if any(EVERYONE & set(at(one.inputs, *place)) for place in places):
        yield "lets everyone in; name a network or a security group"


def _database(one: Judged) -> Iterator[str]:
    if one.inputs.get("publiclyAccessible"):
        yield "has a public address; publiclyAccessible must be false"


def _bucket(one: Judged) -> Iterator[str]:
    for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"):
        if not one.inputs.get(key):
            yield f"lets a bucket be public; {key} must be true"


def _subnet(one: Judged) -> Iterator[str]:
    if one.inputs.get("mapPublicIpOnLaunch"):
        yield "gives every instance a public address; mapPublicIpOnLaunch must be false"


CLOSED: dict[str, Callable[[Judged], Iterator[str]]] = {
    "aws:ec2/securityGroup:SecurityGroup": _group,
    "aws:ec2/subnet:Subnet": _subnet,
    "aws:eks/cluster:Cluster": _cluster,
    "aws:rds/instance:Instance": _database,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _bucket,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _group,
}


def no_endpoint_for_everyone(one: Judged) -> Iterator[str]:
    """APIs, databases, buckets and groups of ports answer named networks alone."""
    if one.kind in CLOSED:
        yield from CLOSED[one.kind](one)
