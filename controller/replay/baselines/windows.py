"""What autoscalers keep of the past: samples of a window of time, and how long a wish has stood."""

from __future__ import annotations

from collections import deque


class Window:
    """Samples not older than `length_s`; the newest is always among them."""

    __slots__ = ("_length_s", "_times_s", "_values")

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._times_s: deque[float] = deque()
        self._values: deque[float] = deque()  # by themselves, so that sums and extremes need no loop of ours

    def add(self, value: float, now_s: float) -> None:
        """Take a sample in and let go of those that are `length_s` old or older."""
        times_s, values = self._times_s, self._values
        oldest_s = now_s - self._length_s
        while times_s and times_s[0] <= oldest_s:
            times_s.popleft()
            values.popleft()
        times_s.append(now_s)
        values.append(value)

    @property
    def mean(self) -> float:
        """The mean of the samples; 0 when there is none."""
        return sum(self._values) / len(self._values) if self._values else 0.0

    @property
    def highest(self) -> float:
        """The greatest sample; 0 when there is none."""
        return max(self._values, default=0.0)

    @property
    def lowest(self) -> float:
        """The least sample; 0 when there is none."""
        return min(self._values, default=0.0)


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
