"""What still bills after a destroy: found by tags with read-only calls, judged by pure functions."""

from __future__ import annotations

from infra.leftovers.find import Leftover, leftovers, tags_of

__all__ = ["Leftover", "leftovers", "tags_of"]
