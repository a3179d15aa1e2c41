"""One request's sequences on their way through an engine, as the task that answers the caller sees them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from controller.engine_sim.plans import Plan


class EngineStopped(Exception):
    """The engine ended while the request was in it."""


@dataclass(slots=True, kw_only=True, eq=False)
class Track:
    """One sequence: its plan and how far it is. Times are on the engine's clock."""

    plan: Plan
    input_tokens: int
    submitted_s: float
    emitted: int = 0
    cached_tokens: int = 0
    started_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None

    @property
    def finished(self) -> bool:
        """Whether every token is out."""
        return self.emitted >= len(self.plan.pieces)


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """The sequences of one request and a bell that rings when there is news for its task.

    `hold_at`: a failure switch: after so many tokens the caller sees no more of them.
    """

    tracks: tuple[Track, ...]
    every_token: bool
    hold_at: int | None = None
    closed: bool = False
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def finished(self) -> bool:
        """Whether every sequence is complete."""
        return all(track.finished for track in self.tracks)

    def ring(self, *, finished: bool) -> None:
        """There is a new token; a unary answer waits for the last one."""
        if self.every_token or finished:
            self._bell.set()

    def close(self) -> None:
        """Nothing more will come: the caller left or the engine stops."""
        self.closed = True
        self._bell.set()

    async def news(self) -> None:
        """Returns after the next ring; EngineStopped when the job was closed. The caller's own deadline bounds it."""
        await self._bell.wait()
        self._bell.clear()
        if self.closed:
            raise EngineStopped
