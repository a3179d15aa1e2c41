"""What a stack may become at most: GPUs and money of all node groups at their largest. Pure but for data files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from controller.catalogue import load_catalogue
from infra.policy.resources import Judged, Limits, at, texts
from infra.regions import on_demand_usd_per_hour, region_names

HOURS_PER_MONTH = 730
NODES = "aws:eks/nodeGroup:NodeGroup"
NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"
TYPE = "node.kubernetes.io/instance-type"


def within_ceilings(resources: Sequence[Judged], limits: Limits) -> Iterator[str]:
    """GPUs and USD a month on demand; a type whose price is not known is told, not taken for free."""
    largest = [*_groups(resources), *_node_pools(resources)]
    shapes = load_catalogue().gpus
    gpus = sum(nodes * shapes[kind].gpus for kind, nodes in largest if kind in shapes)
    if gpus > limits.max_gpus:
        yield f"{gpus} GPUs with every group at its largest; max_gpus allows {limits.max_gpus}"
    prices = {kind: _usd_per_hour(limits.region, kind) for kind, _ in largest}
    for kind in sorted(kind for kind, price in prices.items() if price is None):
        yield f"the price of {kind} in {limits.region} is not known, so no ceiling of money can hold"
    total = sum(nodes * (prices[kind] or 0.0) * HOURS_PER_MONTH for kind, nodes in largest)
    if total > limits.max_usd_per_month:
        yield (
            f"{total:,.0f} USD a month for nodes with every group at its largest; max_usd_per_month allows "
            f"{limits.max_usd_per_month:,.0f}"
        )


def _usd_per_hour(region: str, instance_type: str) -> float | None:
    return on_demand_usd_per_hour(region, instance_type) if region in region_names() else None


def _groups(resources: Sequence[Judged]) -> Iterator[tuple[str, int]]:
    templates = {one.name: one for one in resources if one.kind == "aws:ec2/launchTemplate:LaunchTemplate"}
    fallbacks = {one.name for one in resources if one.kind == NODES and one.name.endswith("-fallback")}
    for one in resources:
        # Spot and its fallback fill up one pool: the dearer of the two counts.
        if one.kind != NODES or one.name.replace("-spot", "-fallback") in fallbacks - {one.name}:
            continue
        template = templates.get(f"{one.name.rpartition('-')[0]}-template")
        kinds = list(at(one.inputs, "instanceTypes")) or (
            [] if template is None else list(at(template.inputs, "instanceType"))
        )
        nodes = next(at(one.inputs, "scalingConfig", "maxSize"), 0)
        if kinds and isinstance(nodes, int | float):
            yield str(kinds[0]), int(nodes)


def _node_pools(resources: Sequence[Judged]) -> Iterator[tuple[str, int]]:
    shapes = load_catalogue().gpus
    for one in resources:
        if one.kind != NODE_POOL:
            continue
        limit = next(at(one.inputs, "spec", "limits", "nvidia.com/gpu"), "0")
        for kind in _types(one):
            if kind in shapes:
                yield kind, int(float(str(limit))) // shapes[kind].gpus


def _types(one: Judged) -> Iterator[str]:
    for requirement in at(one.inputs, "spec", "template", "spec", "requirements"):
        if isinstance(requirement, Mapping) and cast("Mapping[str, object]", requirement).get("key") == TYPE:
            yield from texts(cast("Mapping[str, object]", requirement).get("values"))
