"""What AWS does not let go, and what stays behind in silence."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from tests.infra.doubles import aws_kinds as k
from tests.infra.doubles.aws_services import KINDS
from tests.infra.doubles.aws_words import IN_USE
from tests.infra.doubles.balancers import Balancers
from tests.infra.doubles.paths import values_at
from tests.infra.doubles.store import Store, Thing

LEFT = "left/"  # before the type of what nobody asked for and nobody will remove


def delete_refusals(store: Store, thing: Thing) -> Iterator[str]:
    """AWS's words against the deletion; none: it goes."""
    if any(_holds(other, thing) for other in store.of("")):
        words = IN_USE.get(thing.token, "ResourceInUseException: {id} is in use")
        yield words.format(id=thing.identity)
    if thing.inputs.get("deletionProtection"):
        yield f"InvalidRequestException: deletion protection is enabled for {thing.identity}"
    if thing.token == k.GATEWAY and _has_addresses(store, thing.inputs.get("vpcId")):
        yield (
            f"DependencyViolation: Network {thing.inputs['vpcId']} has some mapped public address(es). Please unmap "
            "those public address(es) before detaching the gateway."
        )
    if thing.token == k.MORE_ADDRESSES and _is_inhabited(store, thing):
        yield f"InvalidCidrBlock.InUse: The vpc {thing.inputs['vpcId']} has subnets in {thing.inputs['cidrBlock']}"
    snapshot = thing.inputs.get("skipFinalSnapshot") or thing.inputs.get("finalSnapshotIdentifier")
    if thing.token == k.DATABASE and not snapshot:
        yield "final_snapshot_identifier is required when skip_final_snapshot is false"


def owned_groups(store: Store) -> set[str]:
    """Security groups that nobody asked for: of each VPC, and of each cluster."""
    of_vpcs = {thing.outputs["defaultSecurityGroupId"] for thing in store.of(k.VPC)}
    return of_vpcs | {thing.outputs["vpcConfig"]["clusterSecurityGroupId"] for thing in store.of(k.CLUSTER)}


def _holds(other: Thing, thing: Thing) -> bool:
    if other.token.startswith(LEFT):
        return thing.identity in other.inputs.values()
    names = {thing.identity, *(thing.outputs.get(key) for key in ("arn", "name", "bucket"))}
    return any(
        key in names
        for ref in KINDS[other.token].refs
        if ref.holds and ref.to == thing.token
        for key in values_at(other.inputs, ref.path)
    )


def _has_addresses(store: Store, vpc: str | None) -> bool:
    subnets = {one.identity for one in store.of(k.SUBNET) if one.inputs["vpcId"] == vpc}
    public = [one for one in store.of(k.NAT) if one.inputs.get("connectivityType", "public") == "public"]
    balancers = Balancers(store.folder.parent / "balancers.json").standing()
    return bool(balancers) or any(one.inputs["subnetId"] in subnets for one in public)


def _is_inhabited(store: Store, thing: Thing) -> bool:

    network = ipaddress.IPv4Network(thing.inputs["cidrBlock"])
    return any(
        one.inputs["vpcId"] == thing.inputs["vpcId"]
        and ipaddress.IPv4Network(one.inputs["cidrBlock"]).subnet_of(network)
        for one in store.of(k.SUBNET)
    )


def after_delete(store: Store, thing: Thing) -> None:
    """What AWS leaves: interfaces of a cluster whose role lost its rights first, logs that are written once more."""
    if thing.token == k.CLUSTER:
        group, vpc = (thing.outputs["vpcConfig"][key] for key in ("clusterSecurityGroupId", "vpcId"))
        if any(group in one.inputs.values() for one in store.of("GroupIngressRule", "GroupEgressRule")):
            _leave(store, "SecurityGroup", group, {"vpc": vpc})  # EKS cannot delete what another group's rule names
        role = thing.inputs["roleArn"].rpartition("/")[2]
        attached = [one for one in store.of(k.ATTACHED) if one.inputs["role"] == role]
        if not attached:
            for subnet in values_at(thing.inputs, "vpcConfig.subnetIds"):
                _leave(store, "NetworkInterface", f"eni of {thing.identity} in {subnet}", {"subnet": subnet})
    if thing.token == k.LOGS:
        writers = [one for one in store.of(k.CLUSTER) if one.inputs.get("enabledClusterLogTypes")]
        if any(thing.identity == f"/aws/eks/{one.identity}/cluster" for one in writers):
            _leave(store, "LogGroup", thing.identity, {})
        if any(thing.outputs["arn"] == one.inputs.get("logDestination") for one in store.of("ec2/flowLog:FlowLog")):
            _leave(store, "LogGroup", thing.identity, {})


def _leave(store: Store, kind: str, identity: str, inputs: dict[str, str]) -> None:
    store.put(Thing(identity, f"{LEFT}{kind}", identity, inputs, {}), "leave")
