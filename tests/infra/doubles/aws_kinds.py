"""What the double of AWS knows of each type of network, cluster and identity: what names it, what it refers to.

A type that does not stand here is refused, so that nothing the program makes goes unchecked.
"""

from __future__ import annotations

from dataclasses import dataclass

VPC, SUBNET, GROUP = "ec2/vpc:Vpc", "ec2/subnet:Subnet", "ec2/securityGroup:SecurityGroup"
GATEWAY, NAT, ADDRESS = "ec2/internetGateway:InternetGateway", "ec2/natGateway:NatGateway", "ec2/eip:Eip"
TABLE, ASSOCIATION = "ec2/routeTable:RouteTable", "ec2/routeTableAssociation:RouteTableAssociation"
MORE_ADDRESSES = "ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation"
TEMPLATE, TOGETHER = "ec2/launchTemplate:LaunchTemplate", "ec2/placementGroup:PlacementGroup"
CLUSTER, NODES, ADDON = "eks/cluster:Cluster", "eks/nodeGroup:NodeGroup", "eks/addon:Addon"
ROLE, POLICY, ATTACHED = "iam/role:Role", "iam/policy:Policy", "iam/rolePolicyAttachment:RolePolicyAttachment"
ROLE_POLICY, PROFILE = "iam/rolePolicy:RolePolicy", "iam/instanceProfile:InstanceProfile"
KEY, BUCKET, REPOSITORY, LOGS = (
    "kms/key:Key",
    "s3/bucket:Bucket",
    "ecr/repository:Repository",
    "cloudwatch/logGroup:LogGroup",
)
DATABASE, DATABASE_SUBNETS = "rds/instance:Instance", "rds/subnetGroup:SubnetGroup"
DATABASE_PARAMETERS = "rds/parameterGroup:ParameterGroup"
FILES, MOUNT, SECRET, TOPIC = (
    "efs/fileSystem:FileSystem",
    "efs/mountTarget:MountTarget",
    "secretsmanager/secret:Secret",
    "sns/topic:Topic",
)
QUEUE, EVENTS = "sqs/queue:Queue", "cloudwatch/eventRule:EventRule"
METRICS = "amp/workspace:Workspace"
ENTRY = "eks/accessEntry:AccessEntry"


@dataclass(frozen=True, slots=True)
class Ref:
    """An input that names another object. `holds`: AWS does not delete that one while this one stands."""

    path: str
    to: str
    by: str = "id"
    holds: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """`identity`: a prefix that ends in "-" ("uuid-": as keys have it), or the input that is it.

    `named`: the input that gets a name where it has none.
    """

    identity: str
    named: str | None = None
    replaces: tuple[str, ...] = ()
    refs: tuple[Ref, ...] = ()
    service: str = "ec2"
    arn: str = ""  # what stands after the account


def _in_vpc(*more: Ref) -> tuple[Ref, ...]:
    return (Ref("vpcId", VPC), *more)


def _of_cluster(*more: Ref, holds: bool = False) -> tuple[Ref, ...]:
    return (Ref("clusterName", CLUSTER, "name", holds), *more)


CORE: dict[str, Kind] = {
    VPC: Kind("vpc-", replaces=("cidrBlock",), arn="vpc/{id}"),
    MORE_ADDRESSES: Kind("vpc-cidr-assoc-", replaces=("cidrBlock", "vpcId"), refs=(Ref("vpcId", VPC, holds=False),)),
    SUBNET: Kind("subnet-", replaces=("vpcId", "cidrBlock", "availabilityZone"), refs=_in_vpc(), arn="subnet/{id}"),
    GATEWAY: Kind("igw-", refs=_in_vpc(), arn="internet-gateway/{id}"),
    ADDRESS: Kind("eipalloc-", replaces=("domain",), arn="elastic-ip/{id}"),
    NAT: Kind(
        "nat-", replaces=("subnetId", "allocationId"), refs=(Ref("subnetId", SUBNET), Ref("allocationId", ADDRESS))
    ),
    TABLE: Kind("rtb-", replaces=("vpcId",), refs=_in_vpc(), arn="route-table/{id}"),
    "ec2/route:Route": Kind(
        "r-",
        replaces=("routeTableId", "destinationCidrBlock"),
        refs=(
            Ref("routeTableId", TABLE, holds=False),
            Ref("gatewayId", GATEWAY, holds=False),
            Ref("natGatewayId", NAT, holds=False),
        ),
    ),
    ASSOCIATION: Kind(
        "rtbassoc-", replaces=("subnetId",), refs=(Ref("subnetId", SUBNET, holds=False), Ref("routeTableId", TABLE))
    ),
    GROUP: Kind(
        "sg-",
        "name",
        ("name", "description", "vpcId"),
        _in_vpc(Ref("ingress.securityGroups", GROUP)),
        arn="security-group/{id}",
    ),
    "ec2/defaultSecurityGroup:DefaultSecurityGroup": Kind("sg-", refs=(Ref("vpcId", VPC, holds=False),)),
    **{
        f"vpc/securityGroup{way}Rule:SecurityGroup{way}Rule": Kind(
            "sgr-",
            replaces=("securityGroupId",),
            refs=(Ref("securityGroupId", GROUP, holds=False), Ref("referencedSecurityGroupId", GROUP)),
        )
        for way in ("Ingress", "Egress")
    },
    "ec2/vpcEndpoint:VpcEndpoint": Kind(
        "vpce-",
        replaces=("vpcId", "serviceName", "vpcEndpointType"),
        refs=_in_vpc(
            Ref("subnetIds", SUBNET), Ref("securityGroupIds", GROUP), Ref("routeTableIds", TABLE, holds=False)
        ),
        arn="vpc-endpoint/{id}",
    ),
    "ec2/flowLog:FlowLog": Kind(
        "fl-",
        replaces=("vpcId", "logDestination", "trafficType", "iamRoleArn"),
        refs=(
            Ref("vpcId", VPC, holds=False),
            Ref("iamRoleArn", ROLE, "arn", False),
            Ref("logDestination", LOGS, "arn", False),
        ),
    ),
    TOGETHER: Kind("name", "name", ("name", "strategy"), arn="placement-group/{id}"),
    TEMPLATE: Kind(
        "lt-", "name", ("name",), (Ref("placement.groupName", TOGETHER, "name"),), arn="launch-template/{id}"
    ),
    CLUSTER: Kind(
        "name",
        "name",
        ("name", "roleArn", "kubernetesNetworkConfig.serviceIpv4Cidr", "bootstrapSelfManagedAddons"),
        (
            Ref("vpcConfig.subnetIds", SUBNET),
            Ref("vpcConfig.securityGroupIds", GROUP),
            Ref("roleArn", ROLE, "arn", False),
            Ref("encryptionConfig.provider.keyArn", KEY, "arn", False),
        ),
        "eks",
        "cluster/{id}",
    ),
    NODES: Kind(
        "{clusterName}:{nodeGroupName}",
        "nodeGroupName",
        (
            "clusterName",
            "nodeGroupName",
            "nodeRoleArn",
            "subnetIds",
            "instanceTypes",
            "amiType",
            "capacityType",
            "diskSize",
            "launchTemplate.id",
            "launchTemplate.name",
        ),
        _of_cluster(
            Ref("subnetIds", SUBNET),
            Ref("nodeRoleArn", ROLE, "arn", False),
            Ref("launchTemplate.id", TEMPLATE, holds=False),
            holds=True,
        ),
        "eks",
        "nodegroup/{id}/0a",
    ),
    ADDON: Kind(
        "{clusterName}:{addonName}",
        None,
        ("clusterName", "addonName"),
        _of_cluster(Ref("podIdentityAssociations.roleArn", ROLE, "arn", False)),
        "eks",
        "addon/{id}/0a",
    ),
    ENTRY: Kind("{clusterName}:{principalArn}", None, ("clusterName", "principalArn", "type"), _of_cluster(), "eks"),
    "eks/accessPolicyAssociation:AccessPolicyAssociation": Kind(
        "{clusterName}#{principalArn}#{policyArn}",
        None,
        ("clusterName", "principalArn", "policyArn", "accessScope"),
        _of_cluster(Ref("principalArn", ENTRY, "principalArn", False)),
        "eks",
    ),
    "eks/podIdentityAssociation:PodIdentityAssociation": Kind(
        "a-",
        None,
        ("clusterName", "namespace", "serviceAccount"),
        _of_cluster(Ref("roleArn", ROLE, "arn", False)),
        "eks",
        "podidentityassociation/{id}",
    ),
    "autoscaling/tag:Tag": Kind("{autoscalingGroupName},{tag.key}", None, ("autoscalingGroupName", "tag.key")),
    "autoscaling/schedule:Schedule": Kind(
        "scheduledActionName",
        "scheduledActionName",
        ("autoscalingGroupName", "scheduledActionName"),
        service="autoscaling",
    ),
    ROLE: Kind("name", "name", ("name", "path"), service="iam", arn="role/{id}"),
    POLICY: Kind(
        "arn:aws:iam::123456789012:policy/{name}",
        "name",
        ("name", "path", "description"),
        service="iam",
        arn="policy/{name}",
    ),
    ROLE_POLICY: Kind("{role}:{name}", "name", ("name", "role"), (Ref("role", ROLE, "name"),), "iam"),
    ATTACHED: Kind(
        "{role}-{policyArn}",
        None,
        ("role", "policyArn"),
        (Ref("role", ROLE, "name"), Ref("policyArn", POLICY, "arn")),
        "iam",
    ),
    PROFILE: Kind("name", "name", ("name",), (Ref("role", ROLE, "name"),), "iam", "instance-profile/{id}"),
}
