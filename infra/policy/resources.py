"""A resource as rules see it, and how they read its inputs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`kind`: its type, such as `aws:rds/instance:Instance`."""

    kind: str
    name: str
    inputs: Mapping[str, object]
    is_protected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the pack's configuration allows; ceilings are of all node groups at their largest."""

    max_gpus: int = 32
    max_usd_per_month: float = 60_000
    region: str = "us-east-1"
    required_tags: tuple[str, ...] = ("spillway:stack",)


def at(value: object, *path: str) -> Iterator[object]:
    """Every value at that path, through all members of lists on the way; none where it is absent."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        for one in cast("Sequence[object]", value):
            yield from at(one, *path)
    elif not path:
        yield value
    elif isinstance(value, Mapping):
        inputs = cast("Mapping[str, object]", value)
        if inputs.get(path[0]) is not None:
            yield from at(inputs[path[0]], *path[1:])


def document(text: object) -> list[Mapping[str, object]]:
    """The statements of a policy of IAM; none where it is no such document."""
    try:
        said = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return []
    return [cast("Mapping[str, object]", one) for one in at(said, "Statement") if isinstance(one, Mapping)]


def texts(value: object) -> list[str]:
    """One text or several, as IAM writes either."""
    return [str(one) for one in at(value)]
