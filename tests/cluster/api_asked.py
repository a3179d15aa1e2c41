"""What a call of the Kubernetes API asks for, read from its method, path and query; and calls counted by that. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
WRITES = frozenset((*VERBS.values(), "apply"))
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call. `resource`: `pods`, `deployments/scale`; `name`: of the object, "" where the call is about many."""

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""

    @property
    def is_write(self) -> bool:
        """Whether it is meant to change something."""
        return self.verb in WRITES

    @property
    def target(self) -> str:
        """The object or part of an object that it is about."""
        return f"{self.resource} {self.name}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call and its fate. `status`: as the caller heard it, None: no answer; `done`: the API has accepted it."""

    asked: Asked
    at_s: float  # monotonic
    status: int | None
    done: bool
    body: bytes = b""


def asked_of(method: str, path: str, query: Mapping[str, str], content_type: str = "") -> Asked:
    """What the call asks for; of a path that is no resource (`/version`) the path stands for it."""
    steps = [unquote(one) for one in path.split("/")]
    if steps[1:2] == ["api"]:
        steps = steps[3:]
    elif steps[1:2] == ["apis"]:
        steps = steps[4:]
    else:
        steps = []
    if not steps:
        return Asked(verb=method.lower(), resource=path)
    namespace = ""
    if steps[0] == "namespaces" and len(steps) > 2:
        namespace, steps = steps[1], steps[2:]
    name = steps[1] if len(steps) > 1 else ""
    return Asked(
        verb=_verb(method, query, name, content_type),
        resource="/".join((steps[0], *steps[2:3])),
        namespace=namespace,
        name=name,
    )


def _verb(method: str, query: Mapping[str, str], name: str, content_type: str) -> str:
    if method == "GET":
        if query.get("watch", "0") not in {"0", "false"}:
            return "watch"
        return "get" if name else "list"
    if method == "PATCH" and content_type.startswith(APPLY):
        return "apply"
    return VERBS.get(method, method.lower())


def tally(calls: Iterable[Call]) -> dict[str, int]:
    """How many there were of each verb and resource, the most frequent first."""
    return dict(Counter(f"{one.asked.verb} {one.asked.resource}" for one in calls).most_common())
