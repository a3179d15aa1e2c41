"""Checks of nodes that pools share: names, instance types, and whether what must always be there has room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from controller.catalogue.document import Document, Place
from controller.catalogue.load import load_catalogue
from controller.catalogue.refusals import did_you_mean, problem_at
from controller.config.schema import NodePoolSection
from controller.core.errors import Problem
from controller.core.pools import NodePool, Pool


def node_pools_of(sections: Mapping[str, NodePoolSection]) -> dict[str, NodePool]:
    """Those whose instance type is known, with their GPUs."""
    shapes = load_catalogue().gpus
    return {
        name: NodePool(
            name=name,
            instance_type=section.instance_type,
            nodes=section.nodes,
            gpus=section.nodes * shapes[section.instance_type].gpus,
        )
        for name, section in sections.items()
        if section.instance_type in shapes
    }


def check_node_pools(
    sections: Mapping[str, NodePoolSection],
    pools: Mapping[str, Pool],
    document: Document,
    places: Mapping[str, Place],
) -> Iterator[Problem]:
    """Unknown names and types, pools that cannot be on these nodes, and minima that do not fit together."""
    known = node_pools_of(sections)
    for name, section in sections.items():
        if name not in known:
            shapes = load_catalogue().gpus
            message = "no such instance type" + did_you_mean(section.instance_type, shapes)
            at = ("node_pools", name, "instance_type")
            yield problem_at(document, at, message, f"one of {', '.join(shapes)}", section.instance_type)
    for pool in pools.values():
        if pool.node_pool is not None:
            yield from check_node_pool(pool, pool.node_pool, sections, document, places[pool.name])
    for node_pool in known.values():
        sharing = [pool for pool in pools.values() if pool.node_pool == node_pool.name]
        too_many = minima_too_many(node_pool, sharing)
        if too_many is not None:
            at = ("node_pools", node_pool.name, "nodes")
            yield problem_at(document, at, too_many, f"at most {node_pool.gpus} on these nodes", node_pool.nodes)


def minima_too_many(node_pool: NodePool, sharing: Sequence[Pool]) -> str | None:
    """In words, that the fewest replicas of the pools on these nodes need more GPUs than there are; else None."""
    least = sum(pool.scale.min_replicas * pool.engine.tensor_parallel for pool in sharing)
    if least <= node_pool.gpus:
        return None
    words = ", ".join(f"{pool.name} {pool.scale.min_replicas} x {pool.engine.tensor_parallel}" for pool in sharing)
    return f"the replicas that must always be there need {least} GPUs: {words}"


def check_node_pool(
    pool: Pool, name: str, sections: Mapping[str, NodePoolSection], document: Document, place: Place
) -> Iterator[Problem]:
    """Whether one pool may be on the nodes that it names."""
    at, section = (*place, "node_pool"), sections.get(name)
    if section is None:
        allowed = f"one of {', '.join(sections)}" if sections else "a name under node_pools, where there is none"
        yield problem_at(document, at, "no such node pool" + did_you_mean(name, sections), allowed, name)
    elif section.instance_type != pool.instance_type:
        message = f"its nodes are {section.instance_type}"
        yield problem_at(document, (*place, "instance_type"), message, section.instance_type, pool.instance_type)
    elif pool.endpoints:
        yield problem_at(document, at, "a pool of fixed endpoints starts nothing", "no node_pool", name)
