"""What depends on what, what is protected, what is told to whom: read from what the program registers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from infra.components.charts import pins
from infra.weights import parse_wanted
from tests.infra.mocked.registered import Recorder, Registered
from tests.infra.mocked.variants import COMMIT, VARIANTS, recorded

ROOT = Path(__file__).parents[3]
RELEASE = "kubernetes:helm.sh/v3:Release"
STATE = ("aws:eks/cluster:Cluster", "aws:kms/key:Key", "aws:rds/instance:Instance", "aws:s3/bucket:Bucket")


def _needs(run: Recorder, resource: Registered) -> set[str]:
    """URNs of everything that has to be there before it, and so goes after it; its provider's among them."""
    by_urn = {one.urn: one for one in run.registered}
    found: set[str] = set()
    waiting = [resource.urn]
    while waiting:
        one = by_urn.get(waiting.pop())
        if one is None:
            continue
        for urn in {*one.dependencies, one.provider.rpartition("::")[0]} - found:
            found.add(urn)
            waiting.append(urn)
    return found


def _first(run: Recorder, token: str, part: str) -> Registered:
    return next(one for one in run.made if one.token == token and part in one.name)


@pytest.mark.parametrize(
    ("later", "sooner"),
    [
        pytest.param((RELEASE, "controller"), ("aws:ec2/route:Route", "private"), id="balancers-need-a-way-out"),
        pytest.param((RELEASE, "controller"), ("aws:iam/rolePolicy:RolePolicy", "balancers"), id="and-their-rights"),
        pytest.param(("kubernetes:networking.k8s.io/v1:Ingress", ""), (RELEASE, "controller"), id="ingress-first-gone"),
        pytest.param((RELEASE, "ops"), ("kubernetes:external-secrets.io/v1:ExternalSecret", ""), id="secrets-first"),
        pytest.param((RELEASE, "llama-8b"), (RELEASE, "ops"), id="modelpools-after-their-kind"),
        pytest.param((RELEASE, "llama-8b"), ("aws:eks/nodeGroup:NodeGroup", "a10g"), id="engines-on-nodes"),
        pytest.param((RELEASE, "llama-8b"), (RELEASE, "device-plugin"), id="engines-with-gpus"),
        pytest.param((RELEASE, "dcgm"), (RELEASE, "prometheus"), id="monitors-after-their-kind"),
        pytest.param((RELEASE, "prometheus"), ("aws:eks/addon:Addon", "ebs"), id="volumes-need-their-driver"),
        pytest.param(("kubernetes:core/v1:Namespace", ""), ("aws:eks/addon:Addon", "ebs"), id="claims-go-first"),
        pytest.param(
            ("aws:eks/nodeGroup:NodeGroup", "core"), ("aws:eks/addon:Addon", "vpc-cni"), id="nodes-need-a-cni"
        ),
        pytest.param(
            ("aws:eks/nodeGroup:NodeGroup", "a100"), ("aws:ec2/route:Route", "private"), id="nodes-need-a-way"
        ),
        pytest.param(
            ("aws:eks/nodeGroup:NodeGroup", "core"), ("aws:iam/rolePolicyAttachment", "node-role"), id="nodes-rights"
        ),
        pytest.param(("aws:ec2/natGateway:NatGateway", ""), ("aws:ec2/internetGateway", ""), id="addresses-go-first"),
        pytest.param(("aws:eks/cluster:Cluster", ""), ("aws:cloudwatch/logGroup", "eks"), id="logs-are-ours"),
    ],
)
def test_what_needs_another_is_made_after_it(later: tuple[str, str], sooner: tuple[str, str]) -> None:
    """And goes before it: a destroy is the reverse."""
    run = recorded("as-it-is")
    needed = _needs(run, _first(run, *later))
    before = {one.urn for one in run.made if one.token.startswith(sooner[0]) and sooner[1] in one.name}
    assert before & needed


@pytest.mark.parametrize("token", STATE)
def test_what_cannot_be_made_again_is_protected(token: str) -> None:
    """A stack for good refuses to lose it; a stack for trial does not."""
    kept = {one.name: one.protect for one in recorded("as-it-is").of(token)}
    tried = [one.protect for one in recorded("for-trial").of(token)]
    assert all(kept.values())
    assert kept
    assert not any(tried)


@pytest.mark.parametrize("variant", VARIANTS)
def test_values_of_our_charts_are_those_of_their_schemas(variant: str) -> None:
    """Each release of our own, the chart's own values beneath it as Helm lays them."""
    ours = [one for one in recorded(variant).of(RELEASE) if "helm/" in str(one.inputs["chart"])]
    assert ours
    for release in ours:
        folder = ROOT / "helm" / Path(str(release.inputs["chart"])).name
        schema = json.loads((folder / "values.schema.json").read_text(encoding="utf-8"))
        below = yaml.safe_load((folder / "values.yaml").read_text(encoding="utf-8"))
        values = release.inputs["values"]
        assert isinstance(values, dict)
        jsonschema.validate(_laid_over(below, values), schema)


def _model(variant: str, name: str) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """What a release of that model is told of its weights, and its further variables."""
    values: Any = recorded(variant).named(f"{name}-release").inputs["values"]
    return values["model"], values["engine"].get("extraEnv", [])


def test_engines_read_the_hub_or_the_bucket() -> None:
    """The folder of the bucket is the one that its document names, for `spillway infra weights` to fill."""
    from_hub, _ = _model("as-it-is", "llama-8b")
    model, variables = _model("bucket", "llama-8b")
    assert "path" not in from_hub
    assert (from_hub["hub"]["existingSecret"], model["hub"]["existingSecret"]) == ("huggingface", "")
    made = _first(recorded("bucket"), "aws:s3/bucketObjectv2:BucketObjectv2", "llama-8b")
    wanted = parse_wanted(str(made.inputs["content"]), str(made.inputs["key"]))
    assert made.inputs["key"] == "manifests/llama-8b.json"
    assert wanted.revision == from_hub["hub"]["revision"]
    assert wanted.repository == from_hub["hub"]["repository"]
    assert wanted.prefix == f"models/llama-8b/{wanted.revision}/"
    assert model["path"] == f"s3://{made.inputs['bucket']}/{wanted.prefix}"
    assert model["hub"] == {"repository": "", "revision": "", "existingSecret": ""}
    assert variables == [{"name": "AWS_REGION", "value": "us-east-1"}]


def test_weights_of_a_repository_are_those_that_settings_name() -> None:
    """Not those of the chart's values."""
    model, _ = _model("own-weights", "mixtral")
    assert (model["hub"]["repository"], model["hub"]["revision"]) == ("my-company/mixtral-fp8", COMMIT)
    assert (model["key"], model["weightsGibibytes"]) == ("mixtral-8x7b-self", 44)


def _laid_over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    made = dict(below)
    for key, value in above.items():
        under = made.get(key)
        both = isinstance(value, dict) and isinstance(under, dict)
        made[key] = _laid_over(under, value) if both else value  # type: ignore[arg-type]
    return made


def test_charts_of_others_are_pinned() -> None:
    """Each release of the program names a chart of charts.yaml with exactly its version, and all of them are used."""
    used = {}
    for variant in VARIANTS:
        for one in recorded(variant).of(RELEASE):
            if "helm/" not in str(one.inputs["chart"]):
                used[str(one.inputs["chart"]).rpartition("/")[2]] = one.inputs["version"]
    assert used == {name: pin["version"] for name, pin in pins().items()}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    else:
        yield str(value)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_resource_that_can_be_tagged_says_whose_it_is(variant: str) -> None:
    """What is left over can be found by the stack's tag."""
    bare = [
        one.name
        for one in recorded(variant).made
        if "tags" in one.inputs and one.inputs["tags"]["spillway:stack"] != "spillway-test"  # type: ignore[index]
    ]
    assert bare == []


def test_outputs_are_what_one_needs_next() -> None:
    """The command for kubectl, where callers ask, what a further release needs."""
    outputs = recorded("public").outputs
    assert outputs["kubeconfig_command"] == "aws eks update-kubeconfig --name spillway-test --region us-east-1"
    assert set(outputs) == {
        "kubeconfig_command", "cluster_name", "gateway_url", "namespaces", "registry", "model_bucket", "helm_values",
    }  # fmt: skip


def test_a_zone_more_moves_no_subnet() -> None:
    """Names and networks of the zones that were there stay theirs."""
    networks = {one.name: one.inputs["cidrBlock"] for one in recorded("as-it-is").of("aws:ec2/subnet:Subnet")}
    assert networks["spillway-test-network-private-us-east-1a"] == "10.0.0.0/19"
    assert len(set(networks.values())) == len(networks) == 9


@pytest.mark.parametrize(
    ("variant", "groups"),
    [
        ("as-it-is", {"a10g-nodes": "ON_DEMAND", "a100-nodes": "ON_DEMAND"}),
        ("spot", {"a10g-spot": "SPOT", "a10g-fallback": "ON_DEMAND", "a100-nodes": "ON_DEMAND"}),
        ("block", {"a10g-nodes": "ON_DEMAND", "a100-block": "CAPACITY_BLOCK"}),
        ("karpenter", {}),
    ],
)
def test_pools_become_groups_by_how_they_are_bought(variant: str, groups: dict[str, str]) -> None:
    """One group, two with spot and its fallback, none where Karpenter starts nodes."""
    made = recorded(variant).of("aws:eks/nodeGroup:NodeGroup")
    gpu = {
        one.name.removeprefix("spillway-test-"): one.inputs["capacityType"] for one in made if "core" not in one.name
    }
    assert gpu == groups


def test_a_block_begins_and_ends_by_itself() -> None:
    """No node before it opens; all of them at its start, none 40 minutes before its end."""
    run = recorded("block")
    group = run.named("spillway-test-a100-block")
    assert group.inputs["scalingConfig"] == {"minSize": 0, "desiredSize": 0, "maxSize": 1}
    times = {
        one.name.rpartition("-")[2]: one.inputs["startTime"] for one in run.of("aws:autoscaling/schedule:Schedule")
    }
    assert times == {"start": "2100-12-01T11:30:00Z", "end": "2100-12-08T10:50:00Z"}
    template = run.named("spillway-test-a100-template").inputs
    assert template["instanceMarketOptions"] == {"marketType": "capacity-block"}
    assert (template["instanceType"], "instanceTypes" in group.inputs) == ("p4d.24xlarge", False)


@pytest.mark.parametrize(("variant", "ignored"), [("as-it-is", True), ("no-autoscaling", False)])
def test_the_wanted_count_is_ours_until_an_autoscaler_changes_it(variant: str, ignored: bool) -> None:
    """An update never takes back what the autoscaler did; without one it is how a pool is scaled."""
    groups = recorded(variant).of("aws:eks/nodeGroup:NodeGroup")
    assert {one.ignore_changes == ("scalingConfig.desiredSize",) for one in groups} == {ignored}
