"""Real asyncio whose time goes straight to the next timer: deadlines of minutes are tested in no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everything waits for ever"
        self._loop.now_s += timeout
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """Goes straight to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """The time of the last jump."""
        return self.now_s


def jumping(main: Coroutine[Any, Any, Result]) -> Result:
    """What it comes to, without waiting."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)
