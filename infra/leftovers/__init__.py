"""What still bills after a destroy: found by tags with read-only calls, judged by pure functions."""

from __future__ import annotations

from infra.leftovers.find import STACK_TAG, Leftover, leftovers, tags_of

__all__ = ["STACK_TAG", "Leftover", "leftovers", "tags_of"]
