"""Documents of IAM as text. Pure; written by type so that a misspelt field cannot pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

VERSION = "2012-10-17"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One permission; `conditions` as IAM writes them: operator, key, values."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, str | list[str]]] = field(
        default_factory=dict[str, dict[str, str | list[str]]]
    )
    effect: str = "Allow"
    everyone: bool = False  # Principal "*", of a resource's own policy


def policy(*statements: Statement) -> str:
    """The document of these permissions."""
    return _document([_statement(statement) for statement in statements])


def service_trust(service: str) -> str:
    """The trust of a role that one AWS service takes on, such as `eks.amazonaws.com`."""
    return _trust(service, ["sts:AssumeRole"])


def pod_trust() -> str:
    """The trust of a role that pods take on by EKS Pod Identity."""
    return _trust("pods.eks.amazonaws.com", ["sts:AssumeRole", "sts:TagSession"])


def _trust(service: str, actions: list[str]) -> str:
    return _document([{"Effect": "Allow", "Principal": {"Service": service}, "Action": actions}])


def _statement(statement: Statement) -> dict[str, object]:
    made: dict[str, object] = {"Effect": statement.effect, "Action": list(statement.actions)}
    if statement.everyone:
        made["Principal"] = "*"
    made["Resource"] = list(statement.resources)
    if statement.conditions:
        made["Condition"] = statement.conditions
    return made


def _document(statements: list[dict[str, object]]) -> str:
    return json.dumps({"Version": VERSION, "Statement": statements})
