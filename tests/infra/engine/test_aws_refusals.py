"""What the double of AWS refuses: in a preview by the SDK's types and AWS's models, in an update by what exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.infra.doubles.wire import HalfMade, Refused, Resource
from tests.infra.engine.account import CLUSTER, Account, new_account, node_group, role_arn, trust


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """With a network and a cluster."""
    return new_account(tmp_path / "aws")


CHECKED = [
    pytest.param("subnet", {"cidrBlock": "10.0.9.0/24"}, "vpcId", "required property is missing", id="missing input"),
    pytest.param("vpc", {"cidr": "10.0.0.0/16"}, "cidr", "unknown property", id="unknown input"),
    pytest.param("vpc", {"enableDnsSupport": "yes"}, "enableDnsSupport", "not of type bool", id="wrong type"),
    pytest.param(
        "nodes", {"scalingConfig": {"minSize": 0, "maxSize": 1, "desired": 1}}, "scalingConfig.desired",
        "unknown property", id="nested input",
    ),
    pytest.param("nodes", {"capacityType": "SPOTT"}, "capacityType", "not one of CAPACITY_BLOCK", id="enum"),
    pytest.param("nodes", {"amiType": "AL2023_GPU"}, "amiType", "not one of", id="another enum"),
    pytest.param("nodes", {"taints": [{"effect": "NoSchedule"}]}, "taints[0].effect", "NO_SCHEDULE", id="in a list"),
    pytest.param(
        "template", {"metadataOptions": {"httpTokens": "requird"}}, "metadataOptions.httpTokens", "required",
        id="nested enum",
    ),
    pytest.param("role", {"name": "a role", "assumeRolePolicy": "{}"}, "name", "does not match", id="pattern"),
    pytest.param("cluster", {"name": "c" * 101}, "name", "101 characters", id="length"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "inputs", "path", "words"), CHECKED)
def test_a_preview_refuses(account: Account, kind: str, inputs: dict[str, Any], path: str, words: str) -> None:
    """The failure names the input and what is allowed."""
    found = {failure.path: failure.reason for failure in account.check(kind, **inputs)}
    assert words in found[path]


def test_a_type_that_the_double_does_not_know_is_refused(account: Account) -> None:
    """Nothing of a program goes by unseen."""
    unknown = Resource("urn:pulumi:test::test::aws:sfn/stateMachine:StateMachine::x")
    (failure,) = account.aws.check(unknown, {}, {})[1]
    assert "knows no aws:sfn/stateMachine:StateMachine" in failure.reason


NETWORKS = [
    pytest.param("subnet", {"cidrBlock": "10.1.0.0/24"}, "InvalidSubnet.Range", id="outside of the VPC"),
    pytest.param("subnet", {"cidrBlock": "10.0.1.128/25"}, "InvalidSubnet.Conflict", id="overlap"),
    pytest.param("subnet", {"cidrBlock": "10.0.9.0/29"}, "InvalidSubnet.Range", id="too small"),
    pytest.param(
        "subnet", {"cidrBlock": "10.0.9.0/24", "availabilityZone": "us-east-1z"}, "availabilityZone is invalid",
        id="no such zone",
    ),
    pytest.param("more", {"cidrBlock": "10.0.128.0/17"}, "CidrConflict", id="second network overlaps"),
    pytest.param("gateway", {}, "Resource.AlreadyAssociated", id="second gateway"),
    pytest.param("subnet", {"vpcId": "vpc-0", "cidrBlock": "10.0.9.0/24"}, "InvalidVpcID.NotFound", id="no such VPC"),
    pytest.param(
        "endpoint", {"serviceName": "com.amazonaws.eu-west-1.s3"}, "InvalidServiceName", id="endpoint of another region"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "inputs", "words"), NETWORKS)
def test_networks_that_aws_refuses(account: Account, kind: str, inputs: dict[str, Any], words: str) -> None:
    """In AWS's words, and nothing is made."""
    with pytest.raises(Refused, match=words):
        account.make(kind, "x", **{"vpcId": account.ids["vpc"], **inputs})


POOLS = [
    pytest.param({"scalingConfig": {"minSize": 2, "desiredSize": 1, "maxSize": 3}}, "Minimum capacity 2", id="too few"),
    pytest.param({"scalingConfig": {"minSize": 0, "desiredSize": 4, "maxSize": 3}}, "max size 3", id="above maximum"),
    pytest.param({"instanceTypes": ["g99.large"]}, "do not exist: .g99.large", id="no such type"),
    pytest.param({"clusterName": "other"}, "No cluster found for name: other", id="no such cluster"),
    pytest.param({"nodeRoleArn": role_arn("cluster")}, "ec2.amazonaws.com", id="role of another service"),
    pytest.param({"subnetIds": ["subnet-0"]}, "InvalidSubnetID.NotFound", id="no such subnet"),
    pytest.param({"version": "1.35"}, "later than the cluster's", id="newer than the cluster"),
    pytest.param({"launchTemplate": {"id": "lt-0", "version": "1"}}, "InvalidLaunchTemplateId", id="no such template"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), POOLS)
def test_node_groups_that_aws_refuses(account: Account, changes: dict[str, Any], words: str) -> None:
    """In AWS's words, and nothing is made."""
    with pytest.raises(Refused, match=words):
        account.make("nodes", "x", **node_group(account, **changes))


def test_a_type_must_be_offered_in_a_zone_of_the_group(account: Account) -> None:
    """p4d.24xlarge is not in every zone; the refusal names those that have it."""
    ids = account.ids
    account.make("subnet", "f", vpcId=ids["vpc"], cidrBlock="10.0.7.0/24", availabilityZone="us-east-1f")
    with pytest.raises(Refused, match=r"p4d.24xlarge\) is not supported .* choosing us-east-1a"):
        account.make("nodes", "x", **node_group(account, instanceTypes=["p4d.24xlarge"], subnetIds=[ids["f"]]))


def test_a_block_is_bought_by_template_and_group_alike(account: Account) -> None:
    """CAPACITY_BLOCK needs a template of that market type, and a type that stands in one place only."""
    options = {"instanceType": "p4d.24xlarge", "instanceMarketOptions": {"marketType": "capacity-block"}}
    account.make("template", "block", **options)
    wanted = {"launchTemplate": {"id": account.ids["block"], "version": "1"}}
    with pytest.raises(Refused, match="do not agree"):
        account.make("nodes", "x", **node_group(account, instanceTypes=None, **wanted))
    with pytest.raises(Refused, match="in both the launch template and the request"):
        account.make("nodes", "x", **node_group(account, capacityType="CAPACITY_BLOCK", **wanted))
    account.make("nodes", "x", **node_group(account, capacityType="CAPACITY_BLOCK", instanceTypes=None, **wanted))


def _without_policies(account: Account) -> None:
    account.drop("attached", "AmazonEC2ContainerRegistryPullOnly")


def _without_a_way_out(account: Account) -> None:
    account.drop("route", "way")


@pytest.mark.parametrize("broken", [_without_policies, _without_a_way_out], ids=["no images", "no way out"])
def test_nodes_that_cannot_join_fail_after_they_were_made(account: Account, broken: Any) -> None:
    """AWS makes such a group, and says why it failed."""
    broken(account)
    with pytest.raises(HalfMade, match="NodeCreationFailure"):
        account.make("nodes", "x", **node_group(account))


CLUSTERS = [
    pytest.param({"version": "1.20"}, "unsupported Kubernetes version 1.20", id="version"),
    pytest.param({"zones": 1}, "at least two different AZs", id="one zone"),
    pytest.param({"roleArn": role_arn("node")}, "eks.amazonaws.com", id="role of another service"),
    pytest.param({"name": "cluster"}, "AlreadyExists", id="name taken"),
]


@pytest.mark.parametrize(("changes", "words"), CLUSTERS)
def test_clusters_that_aws_refuses(account: Account, changes: dict[str, Any], words: str) -> None:
    """In AWS's words, and nothing is made."""
    zones = changes.pop("zones", 2)
    subnets = [account.ids["subnet-a"], account.ids["subnet-b"]][:zones]
    wanted = {"name": "another", "roleArn": role_arn("cluster"), "vpcConfig": {"subnetIds": subnets}, **changes}
    with pytest.raises(Refused, match=words):
        account.make("cluster", "x", **wanted)


def _database(account: Account, **changes: Any) -> None:
    account.make("subnets", "subnets", name="subnets", subnetIds=[account.ids["subnet-a"], account.ids["subnet-b"]])
    wanted = {
        "identifier": "ledger",
        "engine": "postgres",
        "engineVersion": "17",
        "instanceClass": "db.t4g.medium",
        "allocatedStorage": 50,
        "username": "spillway",
        "manageMasterUserPassword": True,
        "dbSubnetGroupName": "subnets",
    }
    account.make("database", "database", **{**wanted, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"engineVersion": "9"}, "Cannot find version 9", id="version"),
        pytest.param({"maxAllocatedStorage": 51}, "10 percent", id="storage"),
        pytest.param({"manageMasterUserPassword": False}, "MasterUserPassword", id="no password"),
        pytest.param({"dbSubnetGroupName": "other"}, "other", id="no such subnets"),
    ],
)
def test_databases_that_aws_refuses(account: Account, changes: dict[str, Any], words: str) -> None:
    """In AWS's words, and nothing is made."""
    with pytest.raises(Refused, match=words):
        _database(account, **changes)


def test_an_account_has_five_addresses(account: Account) -> None:
    """The sixth needs a larger quota."""
    for number in range(5):
        account.make("address", f"address-{number}", domain="vpc")
    with pytest.raises(Refused, match="AddressLimitExceeded"):
        account.make("address", "address-5", domain="vpc")


def test_pods_get_a_role_once_and_one_that_trusts_them(account: Account) -> None:
    """Pod Identity asks for its own service in the trust policy; an account of a namespace has one role."""
    who = {"clusterName": "cluster", "namespace": "kube-system", "serviceAccount": "aws-node"}
    with pytest.raises(Refused, match=r"pods\.eks\.amazonaws\.com"):
        account.make("identity", "x", roleArn=role_arn("node"), **who)
    account.make("role", "pods-role", name="pods-role", assumeRolePolicy=trust("pods.eks.amazonaws.com"))
    account.make("identity", "x", roleArn=role_arn("pods"), **who)
    with pytest.raises(Refused, match="already exists"):
        account.make("identity", "y", roleArn=role_arn("pods"), **who)


IN_USE = [
    pytest.param("vpc", "vpc", "DependencyViolation: The vpc", id="vpc"),
    pytest.param("subnet", "subnet-a", "DependencyViolation: The subnet", id="subnet"),
    pytest.param("table", "table", "DependencyViolation: The routeTable", id="route table"),
    pytest.param("role", "node-role", "DeleteConflict", id="role"),
    pytest.param("cluster", "cluster", "Cluster has nodegroups attached", id="cluster"),
    pytest.param("group", "group", "has a dependent object", id="security group"),
    pytest.param("address", "address", "InvalidIPAddress.InUse", id="address"),
    pytest.param("gateway", "gateway", "mapped public address", id="gateway"),
    pytest.param("subnets", "subnets", "still using it", id="subnets of a database"),
    pytest.param("bucket", "bucket", "BucketNotEmpty", id="bucket"),
    pytest.param("database", "database", "final_snapshot_identifier", id="database without a last snapshot"),
]


@pytest.mark.parametrize(("kind", "name", "words"), IN_USE)
def test_what_is_in_use_does_not_go(account: Account, kind: str, name: str, words: str) -> None:
    """In AWS's words, and it stays."""
    ids = account.ids
    account.make("nodes", "nodes", **node_group(account))
    account.make("group", "group", name="group", vpcId=ids["vpc"])
    account.make("address", "address", domain="vpc")
    account.make("nat", "nat", subnetId=ids["subnet-a"], allocationId=ids["address"])
    account.make("bucket", "bucket", bucket="weights")
    account.make("object", "object", bucket="weights", key="manifest.json", content="{}")
    _database(account, vpcSecurityGroupIds=[ids["group"]])
    with pytest.raises(Refused, match=words):
        account.drop(kind, name)


def _left(account: Account) -> list[str]:
    return [thing.token for thing in account.aws._store.of("") if thing.token.startswith("left/")]


def test_a_cluster_whose_role_lost_its_policy_leaves_its_interfaces(account: Account) -> None:
    """They hold the subnets for ever: destroying in the wrong order is found."""
    account.drop("attached", "AmazonEKSClusterPolicy")
    account.drop("cluster", "cluster")
    assert _left(account) == ["left/NetworkInterface", "left/NetworkInterface"]
    account.drop("association", "association-a")
    with pytest.raises(Refused, match="DependencyViolation"):
        account.drop("subnet", "subnet-a")


def test_logs_that_go_before_their_cluster_come_back(account: Account) -> None:
    """The control plane writes on, and the group is then nobody's."""
    ids = account.ids
    config = {"subnetIds": [ids["subnet-a"], ids["subnet-b"]]}
    account.make(
        "cluster", "other", name="other", roleArn=role_arn("cluster"), vpcConfig=config, enabledClusterLogTypes=["api"]
    )
    account.make("logs", "logs", name="/aws/eks/other/cluster")
    account.drop("logs", "logs")
    assert _left(account) == ["left/LogGroup"]


def test_what_exists_outlives_the_process(tmp_path: Path) -> None:
    """The account is on disk before a call ends."""
    account = new_account(tmp_path / "aws")
    again = Account(type(account.aws)(tmp_path / "aws"), dict(account.ids))
    with pytest.raises(Refused, match="AlreadyExists"):
        again.make("role", "x", name="node-role", assumeRolePolicy=trust(CLUSTER))
