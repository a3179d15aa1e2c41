"""Reservations that somebody waits for, and how they are told: wishes live on event loops, the writer does not."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from controller.core.ledger import Reservation, Verdict


@dataclass(slots=True, eq=False)
class Wish:
    """A reservation that somebody waits for, on their own event loop."""

    reservation: Reservation
    future: asyncio.Future[Verdict]

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
