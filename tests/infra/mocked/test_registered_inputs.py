"""Every input of every resource, at every depth, against the installed SDK's types and AWS's own service models."""

from __future__ import annotations

import sys

import pytest

from tests.infra.doubles import aws_limits, schema
from tests.infra.mocked.registered import Registered
from tests.infra.mocked.variants import VARIANTS, recorded

LEARNT = {"SecretStore", "ExternalSecret", "EC2NodeClass", "NodePool"}  # kinds that a chart brings


def _judged(resource: Registered) -> tuple[list[str], int]:
    kind = resource.token.rpartition(":")[2]
    if resource.token.startswith("pulumi:providers:") or kind in LEARNT:
        return [], len(resource.inputs)
    failures, seen = schema.check(resource.token, dict(resource.inputs))
    if resource.token.startswith("aws:"):
        failures += aws_limits.check(resource.token, dict(resource.inputs))
    return [f"{resource.name} ({resource.token}) {one.path}: {one.reason}" for one in failures], len(seen)


@pytest.mark.parametrize("variant", VARIANTS)
def test_names_types_required_inputs_and_enums_are_those_of_the_sdk(
    variant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No resource has an input that its type does not know, lacks one, or has a value that AWS's model refuses."""
    made = recorded(variant).made
    judged = [_judged(resource) for resource in made]
    assert [fault for faults, _ in judged for fault in faults] == []
    with capsys.disabled():
        sys.stdout.write(f"\n{variant}: {len(made)} resources, {sum(count for _, count in judged)} inputs checked ")
    assert sum(count for _, count in judged) > 4 * len(made)


def test_a_misspelt_nested_input_is_seen() -> None:
    """The check reaches what is nested: it is no check of the top alone."""
    found = next(one for one in recorded("as-it-is").made if one.token == "aws:eks/nodeGroup:NodeGroup")
    broken = {**found.inputs, "scalingConfig": {"minSize": 1, "maxSize": 1, "desiredsize": 1}, "amiType": "AL2024"}
    reasons = [one.path for one in (*schema.check(found.token, broken)[0], *aws_limits.check(found.token, broken))]
    assert reasons == ["scalingConfig.desiredsize", "scalingConfig.desiredSize", "amiType"]


def test_all_types_of_resources_are_seen() -> None:
    """Between them the variants make every resource that the components can make."""
    tokens = {resource.token for variant in VARIANTS for resource in recorded(variant).made}
    assert len({token for token in tokens if token.startswith("aws:")}) >= 60
