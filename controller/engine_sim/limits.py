"""Rate limits per provider and key, as a token bucket; `now_s` is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class RateLimit:
    """So many per minute, saved up for at most `burst_s`."""

    per_min: float
    burst_s: float = 10.0
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def _burst(self) -> float:
        return max(1.0, self.per_min * self.burst_s / 60.0)

    def take(self, key: str, now_s: float, amount: float = 1.0) -> float:
        """0.0 and the amount is taken, or the seconds until it could be. More than the burst costs the whole burst."""
        level, at_s = self._buckets.get(key, (self._burst, now_s))
        level = min(self._burst, level + (now_s - at_s) * self.per_min / 60.0)
        wanted = min(amount, self._burst)
        if level < wanted:
            self._buckets[key] = (level, now_s)
            return (wanted - level) * 60.0 / self.per_min
        self._buckets[key] = (level - wanted, now_s)
        return 0.0

    def left(self, key: str) -> int:
        """What remains for this key."""
        return int(self._buckets.get(key, (self._burst, 0.0))[0])
