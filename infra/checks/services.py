"""Databases, ways in and tags: values of one section that must agree with each other."""

from __future__ import annotations

from collections.abc import Iterator

from controller.catalogue.document import Document
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from infra.schema import StackSettings

RESERVED_TAG_PREFIXES = ("aws:", "kubernetes.io/", "eks:")
EVERYWHERE = "0.0.0.0/0"


def check_services(settings: StackSettings, document: Document) -> Iterator[Problem]:
    """What a section says twice, or what AWS keeps for itself."""
    database, edge = settings.database, settings.edge
    if database.max_storage_gib < database.storage_gib:
        yield problem_at(
            document, ("database", "max_storage_gib"), "is below storage_gib", f"{database.storage_gib} or more",
            database.max_storage_gib,
        )  # fmt: skip
    for index, cidr in enumerate(settings.cluster.public_endpoint_cidrs):
        if cidr == EVERYWHERE:
            place = ("cluster", "public_endpoint_cidrs", index)
            yield problem_at(document, place, "opens the Kubernetes API to everybody", "networks of your own", cidr)
    if edge.kind == "public" and edge.certificate_arn is None:
        yield problem_at(
            document, ("edge", "certificate_arn"), "is missing: the public gateway speaks TLS alone",
            "the ARN of a certificate in AWS Certificate Manager, in this region",
        )  # fmt: skip
    if edge.waf and edge.kind != "public":
        yield problem_at(
            document, ("edge", "waf"), "guards a public gateway alone", "false, or edge.kind public", edge.waf
        )
    for key in settings.tags:
        if key.startswith(RESERVED_TAG_PREFIXES):
            allowed = f"keys that do not begin with {', '.join(RESERVED_TAG_PREFIXES)}"
            yield problem_at(document, ("tags", key), "is reserved", allowed, key)
