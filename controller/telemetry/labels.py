"""Label values that come from outside, held to so many that a scrape stays small whatever callers do."""

from __future__ import annotations

VALUES_MAX = 1000
OTHER = "other"


class BoundedLabel:
    """The first thousand values as they are, all later ones as `other`."""

    __slots__ = ("_known", "_values_max")

    def __init__(self, values_max: int = VALUES_MAX) -> None:
        self._known: set[str] = set()
        self._values_max = values_max

    def of(self, value: str) -> str:
        """The value to count under."""
        if value in self._known:
            return value
        if len(self._known) >= self._values_max:
            return OTHER
        self._known.add(value)
        return value
