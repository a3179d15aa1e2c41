"""Reservations that somebody waits for, and how they are told: wishes live on event loops, the writer does not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from controller.core.ledger import Reservation, Verdict

PATIENCE = 4.0  # a wish waits at most this many times as long as a database may take
_SHORT_S = 0.001


def patience_s(waited_s: float, computed_s: float, wait_s: float) -> float:
    """How much longer a wish waits, 0.0 for no longer.

    What this process computed meanwhile, in the loop's own thread or in one that reads another configuration, is not
    the database's fault: the thread that writes needs the interpreter too.
    """
    more_s = min(wait_s + computed_s, PATIENCE * wait_s) - waited_s
    return more_s if more_s > _SHORT_S else 0.0


@dataclass(slots=True, eq=False)
class Wish:
    """A reservation that somebody waits for, on their own event loop."""

    reservation: Reservation
    future: asyncio.Future[Verdict]
    decided: bool = False  # by the writer's thread: the verdict is on its way
    _asked_at_s: float = 0.0
    _computed_s: float = 0.0  # by this process, until then
    _timer: asyncio.TimerHandle = field(init=False)

    async def verdict(self, wait_s: float) -> Verdict:
        """What the database says, UNAVAILABLE if it takes too long."""
        self._asked_at_s, self._computed_s = self.future.get_loop().time(), time.process_time()
        self._timer = self.future.get_loop().call_later(wait_s, self._time_is_up, wait_s)
        try:
            return await self.future
        finally:
            self._timer.cancel()

    def _time_is_up(self, wait_s: float) -> None:
        if self.decided:
            return
        loop = self.future.get_loop()
        more_s = patience_s(loop.time() - self._asked_at_s, time.process_time() - self._computed_s, wait_s)
        if more_s:
            self._timer = loop.call_later(more_s, self._time_is_up, wait_s)
        else:
            self.refuse()

    def refuse(self) -> None:
        """The time is up, or there is no hope. On the wish's own loop."""
        if not self.future.done():
            self.future.set_result(Verdict.UNAVAILABLE)

    def refuse_soon(self) -> None:
        """The same, from any thread."""
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits
            self.future.get_loop().call_soon_threadsafe(self.refuse)


Told = tuple[Wish, Verdict]


def tell(answers: Iterable[Told], unheard: Callable[[Wish], None]) -> None:
    """Afterwards each wish will hear its verdict; `unheard` is called for what was granted and nobody waits for."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Told]] = defaultdict(list)
    for wish, verdict in answers:
        wish.decided = True
        by_loop[wish.future.get_loop()].append((wish, verdict))
    for loop, told in by_loop.items():
        try:
            loop.call_soon_threadsafe(_hand_over, told, unheard)  # one wake-up for all of them
        except RuntimeError:  # the loop is closed
            _hand_over(told, unheard, heard=False)


def _hand_over(told: list[Told], unheard: Callable[[Wish], None], *, heard: bool = True) -> None:
    for wish, verdict in told:
        if heard and not wish.future.done():
            wish.future.set_result(verdict)
        elif verdict is Verdict.GRANTED:
            unheard(wish)
