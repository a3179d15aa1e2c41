"""Objects of kinds that the cluster learns from a chart; the one place where a spec is a mapping and not a type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomArgs:
    """`namespace` None: of the whole cluster."""

    api_version: str
    kind: str
    object_name: str
    namespace: pulumi.Input[str] | None
    spec: Mapping[str, object]


def custom_resource(
    name: str,
    args: CustomArgs,
    *,
    parent: pulumi.Resource,
    provider: pulumi.ProviderResource,
    depends_on: Sequence[pulumi.Resource],
) -> CustomResource:
    """The object; `depends_on` holds the release that brings its kind."""
    return CustomResource(
        name,
        api_version=args.api_version,
        kind=args.kind,
        metadata=ObjectMetaArgs(name=args.object_name, namespace=args.namespace),
        spec=args.spec,
        opts=pulumi.ResourceOptions(parent=parent, provider=provider, depends_on=list(depends_on)),
    )
