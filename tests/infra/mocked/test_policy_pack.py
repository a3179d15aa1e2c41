"""The policy pack: each rule with what it lets through and what it refuses, and the whole program under all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pulumi_policy
import pytest

from infra.policy.ceiling_rules import within_ceilings
from infra.policy.identity_rules import no_wildcards
from infra.policy.machine_rules import ENCRYPTED, buckets_encrypted, encrypted, metadata_by_token
from infra.policy.network_rules import no_endpoint_for_everyone
from infra.policy.ownership_rules import TAGGED, protected, tagged
from infra.policy.pack import PLAIN, limits_of, policies
from infra.policy.resources import Judged, Limits
from tests.infra.mocked.registered import Registered
from tests.infra.mocked.variants import VARIANTS, recorded

Inputs = dict[str, object]
Rule = Callable[[Judged], Iterator[str]]
CLUSTER, BUCKET_SSE = "aws:eks/cluster:Cluster", "aws:s3/bucketServerSideEncryptionConfiguration"
SSE = f"{BUCKET_SSE}:BucketServerSideEncryptionConfiguration"
TEMPLATE, ROLE_POLICY = "aws:ec2/launchTemplate:LaunchTemplate", "aws:iam/rolePolicy:RolePolicy"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
ATTACHED = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"


def _vpc(**config: object) -> Inputs:
    return {"vpcConfig": {"endpointPrivateAccess": True, **config}}


def _policy(effect: str = "Allow", **statement: object) -> Inputs:
    return {"policy": json.dumps({"Statement": [{"Effect": effect, **statement}]})}


def _sse(algorithm: str) -> Inputs:
    return {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": algorithm}}]}


OPEN = dict.fromkeys(("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True)
METADATA = {"httpTokens": "required", "httpPutResponseHopLimit": 1}
# Rule, type, inputs that pass, inputs that fail.
ROWS: list[tuple[Rule, str, Inputs, Inputs]] = [
    (no_endpoint_for_everyone, CLUSTER, _vpc(endpointPublicAccess=False), _vpc(endpointPublicAccess=True)),
    (
        no_endpoint_for_everyone,
        CLUSTER,
        _vpc(endpointPublicAccess=True, publicAccessCidrs=["203.0.113.0/24"]),
        _vpc(endpointPublicAccess=True, publicAccessCidrs=["203.0.113.0/24", "0.0.0.0/0"]),
    ),
    (
        no_endpoint_for_everyone,
        CLUSTER,
        _vpc(endpointPublicAccess=False),
        {"vpcConfig": {"endpointPublicAccess": False}},
    ),
    (no_endpoint_for_everyone, INGRESS, {"cidrIpv4": "10.0.0.0/16"}, {"cidrIpv4": "0.0.0.0/0"}),
    (no_endpoint_for_everyone, INGRESS, {"referencedSecurityGroupId": "sg-1"}, {"cidrIpv6": "::/0"}),
    (
        no_endpoint_for_everyone,
        "aws:ec2/securityGroup:SecurityGroup",
        {"ingress": [{"cidrBlocks": ["10.0.0.0/16"]}]},
        {"ingress": [{"cidrBlocks": ["10.0.0.0/16"]}, {"cidrBlocks": ["0.0.0.0/0"]}]},
    ),
    (no_endpoint_for_everyone, "aws:rds/instance:Instance", {}, {"publiclyAccessible": True}),
    (no_endpoint_for_everyone, BLOCK, dict(OPEN), {**OPEN, "blockPublicPolicy": False}),
    (no_endpoint_for_everyone, "aws:ec2/subnet:Subnet", {}, {"mapPublicIpOnLaunch": True}),
    (
        metadata_by_token,
        TEMPLATE,
        {"metadataOptions": METADATA},
        {"metadataOptions": {**METADATA, "httpTokens": "optional"}},
    ),
    (
        metadata_by_token,
        TEMPLATE,
        {"metadataOptions": METADATA},
        {"metadataOptions": {**METADATA, "httpPutResponseHopLimit": 2}},
    ),
    (metadata_by_token, "aws:ec2/instance:Instance", {"metadataOptions": METADATA}, {}),
    (encrypted, "aws:amp/workspace:Workspace", {"kmsKeyArn": "k"}, {}),
    (
        encrypted,
        TEMPLATE,
        {"blockDeviceMappings": [{"ebs": {"encrypted": "true"}}]},
        {"blockDeviceMappings": [{"ebs": {"encrypted": "true"}}, {"ebs": {"encrypted": "false"}}]},
    ),
    (encrypted, "aws:ec2/volume:Volume", {"encrypted": True}, {"encrypted": False}),
    (encrypted, "aws:ecr/repository:Repository", {"encryptionConfigurations": [{"encryptionType": "KMS"}]}, {}),
    (encrypted, "aws:efs/fileSystem:FileSystem", {"encrypted": True}, {}),
    (encrypted, CLUSTER, {"encryptionConfig": {"provider": {"keyArn": "k"}}}, {}),
    (encrypted, "aws:fsx/lustreFileSystem:LustreFileSystem", {"kmsKeyId": "k"}, {}),
    (encrypted, "aws:rds/instance:Instance", {"storageEncrypted": True}, {"storageEncrypted": False}),
    (encrypted, SSE, _sse("aws:kms"), _sse("AES256")),
    (encrypted, "aws:sns/topic:Topic", {"kmsMasterKeyId": "k"}, {}),
    (encrypted, "aws:sqs/queue:Queue", {"sqsManagedSseEnabled": True}, {"sqsManagedSseEnabled": False}),
    (
        encrypted,
        "kubernetes:storage.k8s.io/v1:StorageClass",
        {"provisioner": "ebs.csi.aws.com", "parameters": {"encrypted": "true"}},
        {"provisioner": "ebs.csi.aws.com", "parameters": {"type": "gp3"}},
    ),
    (
        no_wildcards,
        ROLE_POLICY,
        _policy(Action=["s3:GetObject"], Resource=["arn:aws:s3:::b/*"]),
        _policy(Action="*", Resource="arn:aws:s3:::b"),
    ),
    (no_wildcards, ROLE_POLICY, _policy("Deny", Action="s3:*", Resource="*"), _policy(Action="s3:*", Resource="b")),
    (
        no_wildcards,
        ROLE_POLICY,
        _policy(Action=["ec2:DescribeTags"], Resource="*"),
        _policy(Action=["ec2:DescribeTags", "ec2:CreateTags"], Resource=["*"]),
    ),
    (
        no_wildcards,
        ROLE_POLICY,
        _policy(Action="ec2:CreateTags", Resource="*", Condition={"StringEquals": {"a": "b"}}),
        _policy(NotAction="iam:PassRole", Resource="b"),
    ),
    (
        no_wildcards,
        ATTACHED,
        {"policyArn": "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"},
        {"policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
    ),
    (no_wildcards, ATTACHED, {"policyArn": "arn:aws:iam::aws:policy/X"}, {"policyArn": "a/AmazonS3FullAccess"}),
]


@pytest.mark.parametrize(("rule", "kind", "good", "bad"), ROWS)
def test_a_rule_lets_the_good_through_and_refuses_the_bad(rule: Rule, kind: str, good: Inputs, bad: Inputs) -> None:
    """With words of what is wrong, none for what is right."""
    assert list(rule(Judged(kind=kind, name="x", inputs=good))) == []
    assert list(rule(Judged(kind=kind, name="x", inputs=bad)))


def test_every_kind_that_is_held_to_encryption_has_a_row() -> None:
    """No kind of the table is untested."""
    assert {kind for rule, kind, _, _ in ROWS if rule is encrypted} == set(ENCRYPTED)


@pytest.mark.parametrize("kind", sorted(TAGGED))
def test_what_bills_needs_its_tags(kind: str) -> None:
    """The stack's tag, and whatever else is asked for."""
    limits = Limits(required_tags=("spillway:stack", "environment"))
    whole = {"tags": {"spillway:stack": "prod", "environment": "prod"}}
    assert list(tagged(Judged(kind=kind, name="x", inputs=whole), limits)) == []
    bare = Judged(kind=kind, name="x", inputs={"tags": {"environment": "prod"}})
    assert list(tagged(bare, limits)) == ["lacks the tags spillway:stack"]


@pytest.mark.parametrize(
    ("kind", "inputs", "is_protected", "faults"),
    [
        ("aws:s3/bucket:Bucket", {}, True, 0),
        ("aws:s3/bucket:Bucket", {}, False, 1),
        ("aws:kms/key:Key", {}, False, 1),
        ("aws:rds/instance:Instance", {"deletionProtection": True}, True, 0),
        ("aws:rds/instance:Instance", {"deletionProtection": False}, True, 1),
        (CLUSTER, {}, False, 2),
        ("aws:ec2/vpc:Vpc", {}, False, 0),
    ],
)
def test_state_is_protected(kind: str, inputs: Inputs, is_protected: bool, faults: int) -> None:
    """By Pulumi and by AWS, where AWS can."""
    judged = Judged(kind=kind, name="x", inputs=inputs, is_protected=is_protected)
    assert len(list(protected(judged))) == faults


def test_a_bucket_without_rules_of_encryption_is_refused() -> None:
    """They are a resource of their own, so they are counted."""
    bucket, rules = (Judged(kind=kind, name="x", inputs={}) for kind in ("aws:s3/bucket:Bucket", SSE))
    assert list(buckets_encrypted([bucket, rules])) == []
    assert list(buckets_encrypted([bucket, bucket, rules]))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        pytest.param(Limits(), [], id="usual"),
        pytest.param(Limits(max_gpus=10), [], id="just-enough"),
        pytest.param(Limits(max_gpus=9), ["10 GPUs"], id="gpus"),
        pytest.param(Limits(max_usd_per_month=18_000), ["USD a month"], id="money"),
        pytest.param(Limits(region="eu-north-9"), ["the price of"] * 3, id="no-prices"),
    ],
)
def test_node_groups_at_their_largest_stay_below_the_ceilings(limits: Limits, words: list[str]) -> None:
    """Two g5.2xlarge and one p4d.24xlarge: ten GPUs, 17,799 USD, and the core nodes."""
    found = list(within_ceilings([_judged(one) for one in recorded("as-it-is").made], limits))
    assert [part in said for part, said in zip(words, found, strict=True)] == [True] * len(words)


@pytest.mark.parametrize(("variant", "gpus"), [("spot", 10), ("block", 10), ("karpenter", 10)])
def test_gpus_are_counted_however_they_are_bought(variant: str, gpus: int) -> None:
    """Spot and its fallback are one pool; a block names its type in the template; Karpenter in its NodePool."""
    made = [_judged(one) for one in recorded(variant).made]
    assert not [said for said in within_ceilings(made, Limits(max_gpus=gpus)) if "GPUs" in said]
    assert [said for said in within_ceilings(made, Limits(max_gpus=gpus - 1)) if "GPUs" in said]


def _judged(one: Registered) -> Judged:
    return Judged(kind=one.token, name=one.name, inputs=one.inputs, is_protected=one.protect)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_program_keeps_all_rules(variant: str) -> None:
    """In every way it can be told to; a stack for trial alone is not protected."""
    made = [_judged(one) for one in recorded(variant).made]
    rules = [rule for _, rule in PLAIN.values() if not (variant == "for-trial" and rule is protected)]
    limits = Limits()
    faults = [f"{one.name} {words}" for one in made for rule in rules for words in rule(one)]
    faults += [f"{one.name} {words}" for one in made for words in tagged(one, limits)]
    assert faults + list(buckets_encrypted(made)) == []


def test_the_pack_says_what_the_rules_say() -> None:
    """Pulumi's own types lead to the rules, its configuration to their limits."""
    said: list[str] = []

    def note(message: str, urn: str | None = None) -> None:
        said.append(message)

    by_name = {policy.name: policy for policy in policies()}
    assert set(by_name) == {*PLAIN, "tagged", "buckets-encrypted", "within-ceilings"}
    policy = by_name["no-endpoint-for-everyone"]
    assert isinstance(policy, pulumi_policy.ResourceValidationPolicy)
    policy.validate(_args(INGRESS, {"cidrIpv4": "0.0.0.0/0"}), note)
    tags = by_name["tagged"]
    assert isinstance(tags, pulumi_policy.ResourceValidationPolicy)
    tags.validate(_args("aws:sqs/queue:Queue", {}, {"required_tags": ["team"]}), note)
    assert said == ["x lets everyone in; name a network or a security group", "x lacks the tags team"]


def _args(
    kind: str, inputs: Inputs, config: Mapping[str, object] | None = None
) -> pulumi_policy.ResourceValidationArgs:
    times = pulumi_policy.PolicyCustomTimeouts(0, 0, 0)
    options = pulumi_policy.PolicyResourceOptions(False, [], False, [], times, [])
    return pulumi_policy.ResourceValidationArgs(kind, inputs, "urn", "x", options, None, dict(config or {}))


def test_the_configuration_for_trial_stacks_names_policies_of_the_pack() -> None:
    """A misspelt name would be passed over in silence."""
    file = Path(__file__).parents[3] / "infra/policy/trial.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    assert set(config) <= {policy.name for policy in policies()}
    assert limits_of(config["within-ceilings"]) == Limits(max_gpus=4, max_usd_per_month=3000)


def test_numbers_of_the_configuration_are_read_as_the_engine_sends_them() -> None:
    """All of them with a fraction."""
    assert limits_of({"max_gpus": 4.0, "max_usd_per_month": 3000.0}) == Limits(max_gpus=4, max_usd_per_month=3000)
