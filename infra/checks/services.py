"""Databases, ways in and tags: values of one section that must agree with each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from controller.catalogue.document import Document, Place
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from infra.schema import StackSettings

_LOOKS_SECRET = re.compile(r"^(hf_|sk-|gsk_|tgp_)")  # keys of providers, put where the name of an entry belongs
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
    yield from _check_names(settings, document)
    for key in settings.tags:
        if key.startswith(RESERVED_TAG_PREFIXES):
            allowed = f"keys that do not begin with {', '.join(RESERVED_TAG_PREFIXES)}"
            yield problem_at(document, ("tags", key), "is reserved", allowed, key)


def _check_names(settings: StackSettings, document: Document) -> Iterator[Problem]:
    """A secret that stands here itself is known to everybody who reads the file: it has to be replaced."""
    named: dict[Place, str | None] = {("secrets", "hf_token"): settings.secrets.hf_token}
    named |= {("secrets", "provider_keys", key): entry for key, entry in settings.secrets.provider_keys.items()}
    for place, entry in named.items():
        if entry is not None and _LOOKS_SECRET.match(entry):
            message = "is the secret itself, not the name of its entry: put it into Secrets Manager and make a new one"
            yield problem_at(document, place, message, "a name such as spillway/prod/hf-token", entry)
