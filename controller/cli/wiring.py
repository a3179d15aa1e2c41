"""The composition root: the only place that constructs adapters and joins them to the processes that need them."""

from __future__ import annotations
