"""STS: who asks."""

from __future__ import annotations

from typing import Any

from infra.aws.access import asked
from infra.aws.facts import Identity


def identity(sts: Any) -> Identity:
    """Account and ARN of the caller."""
    with asked("sts:GetCallerIdentity"):
        answer = sts.get_caller_identity()
    return Identity(account=answer["Account"], arn=answer["Arn"])
