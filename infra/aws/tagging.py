"""Resource Groups Tagging API: everything of a region that carries a tag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.aws.access import asked
from infra.aws.facts import Tagged


def tagged(tagging: Any, tags: Mapping[str, str | None]) -> tuple[Tagged, ...]:
    """Resources with any of the tags (value None: whatever it is), each once, by ARN."""
    found: dict[str, Tagged] = {}
    for key, value in tags.items():
        wanted: dict[str, Any] = {"Key": key} if value is None else {"Key": key, "Values": [value]}
        with asked("tag:GetResources"):
            for page in tagging.get_paginator("get_resources").paginate(TagFilters=[wanted]):
                for row in page["ResourceTagMappingList"]:
                    arn = row["ResourceARN"]
                    found.setdefault(arn, Tagged(arn=arn, tag=key if value is None else f"{key}={value}"))
    return tuple(found[arn] for arn in sorted(found))
