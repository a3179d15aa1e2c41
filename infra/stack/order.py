"""What has to be there before all of a component: an order that its own resources do not follow from, but AWS does."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi


def after(*resources: pulumi.Resource, providers: Sequence[pulumi.ProviderResource]) -> pulumi.ResourceOptions:
    """Options of a component each of whose resources is made after those, and so goes before them.

    `depends_on` of a component alone is not handed down to what is in it.
    """

    def later(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
        more = pulumi.ResourceOptions(depends_on=list(resources))
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, more))

    return pulumi.ResourceOptions(providers=list(providers), transformations=[later] if resources else [])
