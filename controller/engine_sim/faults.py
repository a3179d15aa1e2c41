"""Failure switches: what `POST /sim/faults` turns on, and what a request then suffers."""

from __future__ import annotations

from typing import Any

from controller.engine_sim.asks import Refusal

MODES = ("none", "stall", "reset", "error", "slow", "hang")
STATUSES = (429, 500, 502, 503, 529)


class Faults:
    """The switch in force.

    stall: streams stop after `after_tokens`, connection open; reset: the connection is cut there; error: `status` at
    once; slow: everything takes `factor` times as long; hang: healthy but no token moves. `count`: how many requests
    suffer, None for all.
    """

    def __init__(self) -> None:
        self.mode = "none"
        self.status = 500
        self.retry_after_s: float | None = None
        self.factor = 1.0
        self.after_tokens = 0
        self.count: int | None = None

    @property
    def frozen(self) -> bool:
        """Whether no token moves."""
        return self.mode == "hang"

    @property
    def slowness(self) -> float:
        """By how much everything takes longer."""
        return self.factor if self.mode == "slow" else 1.0

    def set(self, document: dict[str, Any]) -> None:
        """Replace the switch; Refusal names value and allowed range."""
        mode = document.get("mode", "none")
        status = document.get("status", 500)
        factor = document.get("factor", 1.0)
        if mode not in MODES:
            raise Refusal(400, f"mode {mode!r}; allowed: {', '.join(MODES)}", param="mode")
        if status not in STATUSES:
            raise Refusal(400, f"status {status!r}; allowed: {', '.join(map(str, STATUSES))}", param="status")
        if not isinstance(factor, int | float) or not 0.01 <= factor <= 10_000:
            raise Refusal(400, f"factor {factor!r}; allowed: 0.01 to 10000", param="factor")
        self.after_tokens = _count(document.get("after_tokens", 0), "after_tokens")
        self.count = None if document.get("count") is None else _count(document["count"], "count")
        retry_after_s = document.get("retry_after_s")
        self.retry_after_s = None if retry_after_s is None else float(retry_after_s)
        self.mode, self.status, self.factor = mode, status, float(factor)

    def strike(self) -> str:
        """What the next request suffers: none, stall or reset. Raises Refusal for `error`."""
        if self.mode not in ("stall", "reset", "error") or self.count == 0:
            return "none"
        if self.count is not None:
            self.count -= 1
        if self.mode == "error":
            raise Refusal(
                self.status,
                "simulated failure",
                kind="RateLimitError" if self.status == 429 else "InternalServerError",
                retry_after_s=self.retry_after_s,
            )
        return self.mode

    def state(self) -> dict[str, Any]:
        """The switch as JSON."""
        return {
            "mode": self.mode,
            "status": self.status,
            "retry_after_s": self.retry_after_s,
            "factor": self.factor,
            "after_tokens": self.after_tokens,
            "count": self.count,
        }


def _count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refusal(400, f"{name} {value!r}; allowed: a whole number from 0", param=name)
    return value
