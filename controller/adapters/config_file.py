"""Whether spillway.yaml is another file than it was, also where it is mounted from a ConfigMap, which swaps a link.

What the path leads to is looked at, not read. A file in the middle of being written, or gone for a moment while an
editor puts the next one in its place, is not news yet: a change is one that two looks agree about.
"""

from __future__ import annotations

import os
from pathlib import Path

_Seen = tuple[int, int, int, int] | None  # None: nothing is there


class ConfigFile:
    """Satisfies what `cli.reload` asks for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken = self._looked = self._look()

    def _look(self) -> _Seen:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)

    def has_changed(self) -> bool:
        """True once for each other file, at the second look that finds it."""
        before, self._looked = self._looked, self._look()
        if self._looked != before or self._looked == self._taken:
            return False
        self._taken = self._looked
        return True
