"""Places in inputs: `vpcConfig.subnetIds` reaches through lists, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def values_at(values: Any, path: str) -> Iterator[Any]:
    """All that stands there, lists taken apart."""
    if isinstance(values, list):
        for one in values:
            yield from values_at(one, path)
    elif not path:
        yield values
    elif isinstance(values, Mapping):
        first, _, rest = path.partition(".")
        if first in values:
            yield from values_at(values[first], rest)


def first_at(values: Any, path: str, default: Any = None) -> Any:
    """The first that stands there."""
    return next(values_at(values, path), default)
