"""What AWS refuses beyond its models: networks that overlap, types that a zone lacks, roles that nobody may assume.

Each rule yields AWS's words. `world` holds what exists already.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from tests.infra.doubles import aws_kinds as k
from tests.infra.doubles.aws_facts import EKS_VERSIONS, POSTGRES_MAJORS, offered_zones, zones
from tests.infra.doubles.paths import first_at, values_at
from tests.infra.doubles.store import Store, Thing

Said = dict[str, Any]
Network = ipaddress.IPv4Network
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy",)
IMAGES = ("AmazonEC2ContainerRegistryPullOnly", "AmazonEC2ContainerRegistryReadOnly")


class World:
    """What exists beside the object in question, and where."""

    def __init__(self, store: Store, region: str, *, without: str = "") -> None:
        self._store, self._without = store, without
        self.region = region

    def of(self, *tokens: str) -> Iterator[Thing]:
        """All others whose type ends so."""
        return (thing for thing in self._store.of(*tokens) if thing.identity != self._without)

    def get(self, token: str, identity: str | None) -> Thing | None:
        """The object of that type, if there is one with that identity."""
        return self._store.get(token, identity or "")

    def attached(self, role: str) -> set[str]:
        """Names of the policies that are attached to a role, known by name or ARN."""
        name = role.rpartition("/")[2]
        return {
            thing.inputs["policyArn"].rpartition("/")[2]
            for thing in self.of(k.ATTACHED)
            if thing.inputs["role"] == name
        }


def _network(text: str) -> Network | None:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError:
        return None


def _vpc(world: World, inputs: Said) -> Iterator[str]:
    yield from _block(inputs.get("cidrBlock", ""), "InvalidVpc.Range")


def _block(text: str, code: str) -> Iterator[str]:
    network = _network(text)
    if network is None:
        yield f"InvalidParameterValue: Value ({text}) for parameter cidrBlock is invalid: not a valid CIDR block."
    elif not 16 <= network.prefixlen <= 28:
        yield f"{code}: The CIDR '{text}' is invalid."


def _more_addresses(world: World, inputs: Said) -> Iterator[str]:
    yield from _block(inputs["cidrBlock"], "InvalidVpc.Range")
    network = _network(inputs["cidrBlock"])
    for other in _networks_of_vpc(world, inputs["vpcId"]):
        if network is not None and network.overlaps(other):
            yield f"CidrConflict: The CIDR '{network}' conflicts with another CIDR of VPC {inputs['vpcId']}: {other}"


def _networks_of_vpc(world: World, vpc: str) -> list[Network]:
    main = world.get(k.VPC, vpc)
    more = [one.inputs["cidrBlock"] for one in world.of(k.MORE_ADDRESSES) if one.inputs["vpcId"] == vpc]
    return [ipaddress.IPv4Network(text) for text in ([main.inputs["cidrBlock"]] if main else []) + more]


def _subnet(world: World, inputs: Said) -> Iterator[str]:
    text, vpc = inputs.get("cidrBlock", ""), inputs["vpcId"]
    network = _network(text)
    if network is None or not any(network.subnet_of(one) for one in _networks_of_vpc(world, vpc)):
        yield f"InvalidSubnet.Range: The CIDR '{text}' is invalid."
        return
    yield from _block(text, "InvalidSubnet.Range")
    for other in world.of(k.SUBNET):
        if other.inputs["vpcId"] == vpc and network.overlaps(ipaddress.IPv4Network(other.inputs["cidrBlock"])):
            yield f"InvalidSubnet.Conflict: The CIDR '{text}' conflicts with another subnet"
    zone = inputs.get("availabilityZone")
    if zone is not None and zone not in zones(world.region):
        yield (
            f"InvalidParameterValue: Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently "
            f"only be created in the following availability zones: {', '.join(zones(world.region))}."
        )


def _gateway(world: World, inputs: Said) -> Iterator[str]:
    if any(one.inputs.get("vpcId") == inputs.get("vpcId") for one in world.of(k.GATEWAY)):
        yield f"Resource.AlreadyAssociated: resource {inputs['vpcId']} is already associated with an internet gateway"


def _address(world: World, inputs: Said) -> Iterator[str]:
    if len(list(world.of(k.ADDRESS))) >= 5:
        yield "AddressLimitExceeded: The maximum number of addresses has been reached."


def _route(world: World, inputs: Said) -> Iterator[str]:
    for other in world.of("ec2/route:Route"):
        same = ("routeTableId", "destinationCidrBlock")
        if all(other.inputs.get(key) == inputs.get(key) for key in same):
            yield f"RouteAlreadyExists: The route identified by {inputs['destinationCidrBlock']} already exists."


def _association(world: World, inputs: Said) -> Iterator[str]:
    table, subnet = world.get(k.TABLE, inputs["routeTableId"]), world.get(k.SUBNET, inputs.get("subnetId"))
    if table and subnet and table.inputs["vpcId"] != subnet.inputs["vpcId"]:
        where = f"Route table {table.identity} and subnet {subnet.identity}"
        yield f"InvalidParameterValue: {where} belong to different networks"
    if any(one.inputs.get("subnetId") == inputs.get("subnetId") for one in world.of(k.ASSOCIATION)):
        yield f"Resource.AlreadyAssociated: the association for {inputs.get('subnetId')} conflicts with an existing one"


def _endpoint(world: World, inputs: Said) -> Iterator[str]:
    if not inputs["serviceName"].startswith((f"com.amazonaws.{world.region}.", f"aws.api.{world.region}.")):
        yield f"InvalidServiceName: The Vpc Endpoint Service '{inputs['serviceName']}' does not exist"
    chosen = [subnet.inputs for one in inputs.get("subnetIds", []) if (subnet := world.get(k.SUBNET, one))]
    if len({one.get("availabilityZone") for one in chosen}) < len(chosen):
        yield "DuplicateSubnetsInSameZone: Found another VPC endpoint subnet in the availability zone"
    if any(one["vpcId"] != inputs["vpcId"] for one in chosen):
        yield f"InvalidParameter: a subnet of the endpoint does not belong to VPC {inputs['vpcId']}"


def _cluster(world: World, inputs: Said) -> Iterator[str]:
    version = inputs.get("version")
    if version is not None and version not in EKS_VERSIONS:
        yield f"InvalidParameterException: unsupported Kubernetes version {version}"
    chosen = [subnet.inputs for one in values_at(inputs, "vpcConfig.subnetIds") if (subnet := world.get(k.SUBNET, one))]
    if len({one.get("availabilityZone") for one in chosen}) < 2:
        yield "InvalidParameterException: Subnets specified must be in at least two different AZs"
    if len({one["vpcId"] for one in chosen}) > 1:
        yield "InvalidParameterException: Subnets specified must belong to the same VPC"
    yield from _assumed_by(world, inputs["roleArn"], "eks.amazonaws.com")
    if len(inputs.get("name", "")) > 100:
        yield "InvalidParameterException: The name of the cluster is longer than 100 characters"


def _assumed_by(world: World, role: str, service: str) -> Iterator[str]:
    thing = world.get(k.ROLE, role.rpartition("/")[2])
    if thing is None or service not in str(thing.inputs.get("assumeRolePolicy")):
        yield (
            f"InvalidParameterException: Following required service principals [{service}] were not found in the trust "
            f"relationships of the role {role}"
        )


def _nodes(world: World, inputs: Said) -> Iterator[str]:
    low, count, high = (inputs["scalingConfig"][key] for key in ("minSize", "desiredSize", "maxSize"))
    if low > count:
        yield f"InvalidParameterException: Minimum capacity {low} can't be greater than desired size {count}"
    if count > high:
        yield f"InvalidParameterException: Desired capacity {count} can't be greater than max size {high}"
    yield from _assumed_by(world, inputs["nodeRoleArn"], "ec2.amazonaws.com")
    cluster = world.get(k.CLUSTER, inputs["clusterName"])
    if cluster and _minor(inputs.get("version")) > _minor(cluster.outputs["version"]):
        yield f"InvalidParameterException: Requested Nodegroup version {inputs['version']} is later than the cluster's"
    yield from _template_of(world, inputs)
    yield from _offered(world, inputs)


def _minor(version: str | None) -> int:
    return int(version.split(".")[1]) if version else 0


def _template_of(world: World, inputs: Said) -> Iterator[str]:
    template = world.get(k.TEMPLATE, first_at(inputs, "launchTemplate.id"))
    if template is None:
        return
    if template.inputs.get("instanceType") and inputs.get("instanceTypes"):
        yield "InvalidParameterException: You cannot specify instance types in both the launch template and the request"
    is_block = first_at(template.inputs, "instanceMarketOptions.marketType") == "capacity-block"
    if is_block != (inputs.get("capacityType") == "CAPACITY_BLOCK"):
        yield "InvalidParameterException: CAPACITY_BLOCK and the market type of the launch template do not agree"
    wanted = int(first_at(inputs, "launchTemplate.version", 1))
    if wanted > template.outputs["latestVersion"]:
        yield f"InvalidLaunchTemplateId.VersionNotFound: Could not find launch template version {wanted}"


def _offered(world: World, inputs: Said) -> Iterator[str]:
    template = world.get(k.TEMPLATE, first_at(inputs, "launchTemplate.id"))
    from_template = template.inputs.get("instanceType") if template else None
    wanted = inputs.get("instanceTypes") or ([from_template] if from_template else ["t3.medium"])
    here = {subnet.inputs["availabilityZone"] for one in inputs["subnetIds"] if (subnet := world.get(k.SUBNET, one))}
    for kind in wanted:
        offered = offered_zones(world.region, kind)
        if not offered:
            yield f"InvalidParameterException: The following supplied instance types do not exist: [{kind}]"
        elif not here & offered:
            yield (
                f"Unsupported: Your requested instance type ({kind}) is not supported in your requested Availability "
                f"Zone ({', '.join(sorted(here))}). Please retry your request by choosing {', '.join(sorted(offered))}."
            )


def nodes_fail(world: World, inputs: Said) -> str | None:
    """Why the nodes of a group cannot join their cluster; AWS says so after the group was made."""
    attached = world.attached(inputs["nodeRoleArn"])
    if not attached.issuperset(NODE_POLICIES) or not attached.intersection(IMAGES):
        return (
            f"NodeCreationFailure: Instances failed to join the kubernetes cluster (policies of the role: {attached})"
        )
    cluster = world.get(k.CLUSTER, inputs["clusterName"])
    addons = {one.inputs["addonName"] for one in world.of(k.ADDON)}
    if cluster and cluster.inputs.get("bootstrapSelfManagedAddons") is False and "vpc-cni" not in addons:
        return "NodeCreationFailure: Unhealthy nodes in the kubernetes cluster (no vpc-cni)"
    for subnet in inputs["subnetIds"]:
        if not _reaches_out(world, subnet):
            return f"NodeCreationFailure: Instances failed to join the kubernetes cluster (no way out of {subnet})"
    return None


def _reaches_out(world: World, subnet: str) -> bool:
    tables = {one.inputs["routeTableId"] for one in world.of(k.ASSOCIATION) if one.inputs.get("subnetId") == subnet}
    routes = [one.inputs for one in world.of("ec2/route:Route") if one.inputs["routeTableId"] in tables]
    return any(one.get("natGatewayId") or one.get("gatewayId") for one in routes)


def _group_exists(world: World, inputs: Said) -> Iterator[str]:
    groups = {name for one in world.of(k.NODES) for name in values_at(one.outputs, "resources.autoscalingGroups.name")}
    if inputs["autoscalingGroupName"] not in groups:
        yield f"ValidationError: AutoScalingGroup name not found - {inputs['autoscalingGroupName']}"


def _subnets_of_database(world: World, inputs: Said) -> Iterator[str]:
    chosen = [subnet.inputs for one in inputs["subnetIds"] if (subnet := world.get(k.SUBNET, one))]
    if len({one.get("availabilityZone") for one in chosen}) < 2:
        yield (
            "DBSubnetGroupDoesNotCoverEnoughAZs: The DB subnet group doesn't meet Availability Zone (AZ) coverage "
            "requirement. Please add subnets to cover at least 2 AZs."
        )


def _database(world: World, inputs: Said) -> Iterator[str]:
    if (
        inputs.get("engine") == "postgres"
        and str(inputs.get("engineVersion", "17")).split(".")[0] not in POSTGRES_MAJORS
    ):
        yield f"InvalidParameterCombination: Cannot find version {inputs['engineVersion']} for postgres"
    most = inputs.get("maxAllocatedStorage", 0)
    if most and most < inputs.get("allocatedStorage", 0) * 1.1:
        yield "InvalidParameterCombination: Max storage size must be at least 10 percent greater than allocated storage"
    if not inputs.get("manageMasterUserPassword") and not inputs.get("password"):
        yield "InvalidParameterValue: The parameter MasterUserPassword must be provided"


def _identity_of_pod(world: World, inputs: Said) -> Iterator[str]:
    yield from _assumed_by(world, inputs["roleArn"], "pods.eks.amazonaws.com")
    same = ("clusterName", "namespace", "serviceAccount")
    for other in world.of("eks/podIdentityAssociation:PodIdentityAssociation"):
        if all(other.inputs[key] == inputs[key] for key in same):
            yield f"ResourceInUseException: Association already exists: {other.identity}"


RULES: dict[str, Callable[[World, Said], Iterator[str]]] = {
    k.VPC: _vpc,
    k.MORE_ADDRESSES: _more_addresses,
    k.SUBNET: _subnet,
    k.GATEWAY: _gateway,
    k.ADDRESS: _address,
    "ec2/route:Route": _route,
    k.ASSOCIATION: _association,
    "ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    k.CLUSTER: _cluster,
    k.NODES: _nodes,
    "autoscaling/tag:Tag": _group_exists,
    "autoscaling/schedule:Schedule": _group_exists,
    k.DATABASE_SUBNETS: _subnets_of_database,
    k.DATABASE: _database,
    "eks/podIdentityAssociation:PodIdentityAssociation": _identity_of_pod,
}
