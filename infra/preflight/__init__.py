"""What an account lacks for a stack, and what to type for it: read-only calls, judged by pure functions."""

from __future__ import annotations

from infra.preflight.findings import Finding
from infra.preflight.judge import judge

__all__ = ["Finding", "judge"]
