"""A cluster whose ModelPool resource is older than this program: fields that its schema lacks are left out. Pure.

The API refuses a status by server-side apply as a whole where its schema does not declare a single field of it. Two
installations of two releases share one such resource, so the newer one goes without what only it would say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from controller.modelpool.objects import Json

FORGET_S = 300.0  # the resource may be upgraded under a running controller
_Path = tuple[str, ...]
_WORDS = re.compile(r"\.status((?:\.[A-Za-z0-9]+)+): field not declared in schema")


class Undeclared:
    """Which fields of a status the cluster's schema has not got, as far as it has said so."""

    def __init__(self) -> None:
        self._paths: frozenset[_Path] = frozenset()
        self._until_s = 0.0

    @property
    def paths(self) -> tuple[str, ...]:
        """The fields in words, in order."""
        return tuple(sorted(".".join(path) for path in self._paths))

    def hear(self, words: str, now_s: float) -> bool:
        """Whether a refusal in these words names fields that were not known to be missing; afterwards they are."""
        named = frozenset(tuple(path[1:].split(".")) for path in _WORDS.findall(words))
        if named <= self._paths:
            return False
        self._paths |= named
        self._until_s = now_s + FORGET_S
        return True

    def left_out(self, status: Json, now_s: float) -> dict[str, object]:
        """The status without those fields; after five minutes all of it is tried again."""
        if now_s >= self._until_s:
            self._paths = frozenset()
        return _without(status, self._paths)


def _without(source: Json, paths: frozenset[_Path]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, value in source.items():
        below = frozenset(path[1:] for path in paths if path[0] == name)
        if () in below:
            continue
        kept[name] = _without(value, below) if below and isinstance(value, Mapping) else value
    return kept
