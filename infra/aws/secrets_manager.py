"""Secrets Manager: whether an entry is there. Values are never read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.aws.access import AwsError, asked


def present(secrets_manager: Any, names: Iterable[str]) -> dict[str, bool]:
    """Whether each entry is there and not about to be deleted."""
    return {name: _is_there(secrets_manager, name) for name in sorted(set(names))}


def _is_there(secrets_manager: Any, name: str) -> bool:
    try:
        with asked("secretsmanager:DescribeSecret"):
            answer = secrets_manager.describe_secret(SecretId=name)
    except AwsError as error:
        if error.why.startswith("ResourceNotFoundException"):
            return False
        raise
    return "DeletedDate" not in answer
