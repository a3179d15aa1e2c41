"""What autoscalers keep of the past: samples of a window of time, and how long a wish has stood."""

from __future__ import annotations

from collections import deque


class Window:
    """Samples not older than `length_s`; the newest is always among them."""

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, value: float, now_s: float) -> None:
        """Take a sample in and let go of those that are `length_s` old or older."""
        while self._samples and self._samples[0][0] <= now_s - self._length_s:
            self._samples.popleft()
        self._samples.append((now_s, value))

    @property
    def mean(self) -> float:
        """The mean of the samples; 0 when there is none."""
        return sum(value for _, value in self._samples) / len(self._samples) if self._samples else 0.0

    @property
    def highest(self) -> float:
        """The greatest sample; 0 when there is none."""
        return max((value for _, value in self._samples), default=0.0)

    @property
    def lowest(self) -> float:
        """The least sample; 0 when there is none."""
        return min((value for _, value in self._samples), default=0.0)


class Agreement:
    """How many steps in a row, or for how long, a wish has pointed up (1) or down (-1)."""

    def __init__(self) -> None:
        self._direction = 0
        self._since_s = 0.0
        self.steps = 0

    def lasting_s(self, direction: int, now_s: float) -> float:
        """Count this step; for how long every step has pointed there."""
        if direction != self._direction:
            self._direction, self._since_s, self.steps = direction, now_s, 0
        self.steps += 1
        return now_s - self._since_s

    def reset(self) -> None:
        """Start to count anew: the wish was granted."""
        self._direction = 0
        self.steps = 0


def direction(wished: int, current: int) -> int:
    """1 where more are wished than there are, -1 where fewer, else 0."""
    return (wished > current) - (wished < current)
