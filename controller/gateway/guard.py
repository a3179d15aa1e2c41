"""Ends a request's wait from outside: the caller left, or a deadline passed. One per request, no task of its own.

The server calls when the caller leaves, so nobody has to wait for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from controller.core.errors import RequestError, UpstreamTimeout
from controller.gateway.ports import Line

EARLY_S = 0.1  # a request that ends sooner never sets a timer
LEAVING_AT_ONCE = 32  # of a crowd, per turn of the loop: what each still does takes about 0.1 ms


class CallerLeft(Exception):
    """The caller has closed the connection; nobody reads an answer."""


class Alarms:
    """Sets the timers of guards once they are `EARLY_S` old: most requests have ended by then, and a timer is dear.

    Also ends those whose caller has left, some per turn of the loop: when a crowd leaves, all its upstreams are hung up
    on before most of its requests are booked, and those who stay are not held up.
    """

    __slots__ = ("_ended", "_leaving", "_loop", "_young")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._young: list[Guard] = []
        self._leaving: deque[Guard] = deque()
        self._ended = 0  # in this turn

    def leave(self, guard: Guard, loop: asyncio.AbstractEventLoop) -> None:
        """Its task is cancelled, now or within some turns."""
        if loop is not self._loop:
            self._move(loop)
        if self._ended >= LEAVING_AT_ONCE:
            self._leaving.append(guard)
            return
        if not self._ended:
            loop.call_soon(self._turn, loop)
        self._ended += 1
        guard.end()

    def _move(self, loop: asyncio.AbstractEventLoop) -> None:
        """What waited on another loop is not waited for any more."""
        self._loop, self._young, self._leaving, self._ended = loop, [], deque(), 0

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ended = min(len(self._leaving), LEAVING_AT_ONCE)
        for _ in range(self._ended):
            self._leaving.popleft().end()
        if self._ended:
            loop.call_soon(self._turn, loop)

    def task(self) -> asyncio.Task[object] | None:
        """The running one. Asked by the loop of the request before: asking for that loop is a system call each time."""
        loop = self._loop
        task = None if loop is None else asyncio.current_task(loop)
        return asyncio.current_task() if task is None else task

    def add(self, guard: Guard, loop: asyncio.AbstractEventLoop) -> None:
        """Its timer is set in a while, unless it is closed by then."""
        if loop is not self._loop:
            self._move(loop)
        if not self._young:
            loop.call_later(EARLY_S, self._set)
        self._young.append(guard)

    def _set(self) -> None:
        young, self._young = self._young, []
        for guard in young:
            if guard.is_young:
                guard.grow()


class Guard:
    """Cancels the request's task when the caller leaves or time is up; `run` turns that into the fitting error."""

    __slots__ = (
        "_alarms",
        "_armed_s",
        "_due_s",
        "_idle_s",
        "_line",
        "_loop",
        "_phase",
        "_phase_s",
        "_task",
        "_timer",
        "_total_due_s",
        "_total_phase",
        "_total_s",
        "expired",
        "hang_up",
        "is_young",
        "left",
    )

    def __init__(self, total_s: float, idle_s: float, alarms: Alarms | None = None) -> None:
        task = asyncio.current_task() if alarms is None else alarms.task()
        if task is None:
            raise RuntimeError("a guard belongs to the task of its request")
        self._task = task
        self._loop = task.get_loop()
        self._alarms = alarms
        self._idle_s = idle_s
        self._total_s = total_s
        self._total_phase = "total"
        self._total_due_s = self._loop.time() + total_s
        self._due_s = self._total_due_s
        self._armed_s = 0.0
        self._phase = "total"
        self._phase_s = total_s
        self._timer: asyncio.TimerHandle | None = None
        self._line: Line | None = None
        self.is_young = False  # `alarms` will set its timer
        self.left = False
        self.hang_up: Callable[[], None] | None = None  # tells the upstream at once that the caller has left
        self.expired: UpstreamTimeout | RequestError | None = None

    @property
    def remaining_s(self) -> float:
        """Time left for the whole request."""
        return self._total_due_s - self._loop.time()

    # the caller
    def watch(self, line: Line) -> None:
        """From now on a departure cancels the task; call it once the body has been read."""
        self._line = line
        line.on_gone = self._gone
        if line.gone:
            self._gone()

    def _gone(self) -> None:
        if not self.left:
            self.left = True
            if self.hang_up is not None:
                self.hang_up()
            if self.hang_up is None or self._alarms is None:
                self._task.cancel()
            else:
                self._alarms.leave(self, self._loop)

    def end(self) -> None:
        """The task of a caller who left is cancelled, unless it has ended."""
        if self._line is not None:
            self._task.cancel()

    # time
    def begin(self, phase: str, limit_s: float) -> None:
        """A phase starts: it may take this long, within the time of the whole request."""
        now_s = self._loop.time()
        self._phase, self._phase_s = phase, limit_s
        due_s = self._due_s = now_s + limit_s
        self._wake_at(min(self._total_due_s, due_s), now_s)

    @property
    def progressed_s(self) -> float:
        """When something last arrived; before that, when its wait for it began."""
        return self._due_s - self._phase_s

    def settle(self) -> None:
        """The phase is over: until the next one only the time of the whole request counts."""
        self._phase, self._phase_s, self._due_s = self._total_phase, self._total_s, self._total_due_s
        if self._timer is None and not self.is_young:
            self._wake_at(self._total_due_s, self._loop.time())

    def limit(self, total_s: float, phase: str = "total") -> None:
        """The whole request may take this long from now on, once its own deadline is known."""
        now_s = self._loop.time()
        if now_s + total_s < self._total_due_s:
            self._total_s, self._total_phase = total_s, phase
            self._total_due_s = now_s + total_s
            self._wake_at(self._total_due_s, now_s)

    def expire(self, why: UpstreamTimeout | RequestError) -> None:
        """Time is up by somebody else's word."""
        if not self.left and self.expired is None:
            self.expired = why
            self._task.cancel()

    def progress(self) -> None:
        """Something arrived: the idle time starts anew. Only notes a time; the timer looks at it when it fires."""
        if self._phase != "idle":
            self.begin("idle", self._idle_s)
        else:
            self._due_s = self._loop.time() + self._idle_s

    def _wake_at(self, due_s: float, now_s: float) -> None:
        """Afterwards a look at the clock is due by then at the latest."""
        if self._timer is not None:
            if due_s < self._armed_s:
                self._arm(due_s)
        elif self._alarms is None or due_s - now_s < 2 * EARLY_S:
            self._arm(due_s)
        elif not self.is_young:
            self.is_young = True
            self._alarms.add(self, self._loop)

    def grow(self) -> None:
        """It lives longer than most: its timer is set."""
        self.is_young = False
        if self._timer is None:
            self._arm(min(self._due_s, self._total_due_s))

    def _arm(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_s = due_s
        self._timer = self._loop.call_at(due_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now_s = self._loop.time() + 0.002  # timers fire within a millisecond of their time, before it too
        if now_s >= self._total_due_s:
            self.expired = UpstreamTimeout(self._total_phase, self._total_s)
        elif now_s >= self._due_s:
            self.expired = UpstreamTimeout(self._phase, self._phase_s)
        else:
            self._arm(min(self._due_s, self._total_due_s))
            return
        self._task.cancel()

    def translate(self) -> Exception | None:
        """Why the task was cancelled, when it was by this guard; afterwards the task may go on."""
        if self.left:
            self._task.uncancel()
            return CallerLeft()
        if self.expired is not None:
            self._task.uncancel()
            expired, self.expired = self.expired, None
            return expired
        return None

    def timed_out(self, cancelled: asyncio.CancelledError) -> UpstreamTimeout:
        """The timeout behind a cancellation; whatever else is behind it is raised."""
        why = self.translate()
        if isinstance(why, UpstreamTimeout):
            return why
        raise why if why is not None else cancelled from None

    def close(self) -> None:
        """Afterwards nothing of this guard fires any more."""
        self.is_young = False
        self.hang_up = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._line is not None:
            self._line.on_gone = None
            self._line = None
