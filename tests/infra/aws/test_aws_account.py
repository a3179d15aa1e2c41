"""`spillway infra preflight` and `leftovers` against an account that moto answers for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from stacks import changed, write
from typer.testing import CliRunner, Result

from controller.cli.main import build_app

pytestmark = pytest.mark.usefixtures("account")


def typed(command: str, folder: Path, changes: dict[str, object] | None = None) -> Result:
    """`spillway infra COMMAND` on the good stack with changes."""
    write(folder, changed(changes or {}))
    return CliRunner().invoke(build_app(), ["infra", command, "--stack", "test", "--dir", str(folder), "--json"])


def data_of(result: Result) -> Any:
    """What the one JSON document holds."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.stdout)["data"]


def test_preflight_asks_and_judges(tmp_path: Path) -> None:
    """The account is moto's, its zones have every type, a secret is not there until it is made."""
    result = typed("preflight", tmp_path)
    data = data_of(result)
    found = {(finding["subject"], finding["state"]) for finding in data["findings"]}
    assert result.exit_code == 1
    assert {
        ("identity", "ok"),
        ("offering g5.2xlarge", "ok"),
        ("offering p4d.24xlarge", "ok"),
        ("secret", "missing"),
    } <= found
    words = [finding["words"] for finding in data["findings"] if finding["subject"] == "identity"]
    assert words == ["arn:aws:sts::123456789012:user/moto in account 123456789012"]
    for name in ("spillway/test/hf-token", "spillway-test/gateway"):
        boto3.client("secretsmanager").create_secret(Name=name, SecretString="x")
    findings = data_of(typed("preflight", tmp_path))["findings"]
    assert [finding["state"] for finding in findings if finding["subject"] == "secret"] == ["ok", "ok"]


def test_preflight_in_words_has_the_commands(tmp_path: Path) -> None:
    """Each missing thing is followed by what to type."""
    write(tmp_path, changed({}))
    result = CliRunner().invoke(build_app(), ["infra", "preflight", "--stack", "test", "--dir", str(tmp_path)])
    assert "error: secret: spillway/test/hf-token is not there" in result.stderr
    assert "fix: aws secretsmanager create-secret --region us-east-1 --name spillway/test/hf-token" in result.stderr


def test_nothing_is_left_of_a_stack_that_never_was(tmp_path: Path) -> None:
    """Exit code 0."""
    result = typed("leftovers", tmp_path)
    assert (result.exit_code, data_of(result)["leftovers"]) == (0, [])


def test_what_bills_is_listed_first(tmp_path: Path) -> None:
    """A disk of a claim that the cluster made and a network of the program; a terminated instance is left out."""
    ec2 = boto3.client("ec2")
    tags = [{"Key": "spillway:stack", "Value": "spillway-test"}]
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}])["Vpc"][
        "VpcId"
    ]
    claim = [{"Key": "kubernetes.io/cluster/spillway-test", "Value": "owned"}]
    volume = ec2.create_volume(
        AvailabilityZone="us-east-1a", Size=10, TagSpecifications=[{"ResourceType": "volume", "Tags": claim}]
    )["VolumeId"]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}]
    )["Instances"][0]["InstanceId"]
    ec2.terminate_instances(InstanceIds=[instance])
    result = typed("leftovers", tmp_path)
    data = data_of(result)
    rows = [(row["kind"], row["id"], row["tag"]) for row in data["leftovers"] if row["id"] in {vpc, volume, instance}]
    assert rows == [
        ("disk", volume, "kubernetes.io/cluster/spillway-test"),
        ("ec2 vpc", vpc, "spillway:stack=spillway-test"),
    ]
    assert (result.exit_code, data["billing"]) == (1, 1)
    shown = CliRunner().invoke(build_app(), ["infra", "leftovers", "--stack", "test", "--dir", str(tmp_path)])
    assert volume in shown.stdout
    assert "resources of spillway-test in us-east-1 bill" in shown.stderr
