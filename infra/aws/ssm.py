"""Systems Manager: which image AWS recommends for nodes of a version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.aws.access import asked


def images(ssm: Any, parameters: Iterable[str]) -> dict[str, str | None]:
    """AMI by public parameter; None where there is no such parameter."""
    wanted = sorted(set(parameters))
    with asked("ssm:GetParameters"):
        answer = ssm.get_parameters(Names=wanted)
    found: dict[str, str] = {row["Name"]: row["Value"] for row in answer["Parameters"]}
    return {name: found.get(name) for name in wanted}
