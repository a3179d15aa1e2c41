"""The end of a request's wait by its caller: one who leaves, and a crowd that does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop

from controller.core.errors import UpstreamTimeout
from controller.gateway.guard import LEAVING_AT_ONCE, Alarms, CallerLeft, Guard
from controller.gateway.ports import Line
from tests.gateway.jumping_loop import jumping


class Caller:
    """A line on which nothing is said; its caller leaves when told to."""

    def __init__(self) -> None:
        self.gone = False
        self.on_gone: Callable[[], None] | None = None

    def leave(self) -> None:
        """As the server tells it."""
        self.gone = True
        if self.on_gone is not None:
            self.on_gone()


@pytest.mark.parametrize("after_s", [None, 0.0, 0.01], ids=["before", "at once", "later"])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_caller_who_leaves(after_s: float | None, run: Callable[..., Any]) -> None:
    """The task is cancelled and told why, once, whether the caller leaves later, soon or has left already."""

    async def main() -> Exception | None:
        guard, caller = Guard(100, 5), Caller()
        try:
            if after_s is None:
                caller.leave()
            else:
                asyncio.get_running_loop().call_later(after_s, caller.leave)
            guard.watch(cast("Line", caller))
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            guard.expire(UpstreamTimeout("drain", 1))  # comes too late
            caller.leave()
            return guard.translate()
        finally:
            guard.close()
        return None

    assert isinstance(run(main()), CallerLeft)


def test_a_crowd_that_leaves() -> None:
    """All upstreams are hung up on before most requests go on to their ends; others have their turns in between."""
    crowd = 3 * LEAVING_AT_ONCE + 1
    told: list[str] = []

    async def request(caller: Caller, alarms: Alarms) -> None:
        guard = Guard(100, 5, alarms)
        guard.hang_up = lambda: told.append("hung up")
        guard.watch(cast("Line", caller))
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            assert isinstance(guard.translate(), CallerLeft)
            told.append("ended")
        finally:
            guard.close()

    async def main() -> None:
        alarms, callers = Alarms(), [Caller() for _ in range(crowd)]
        tasks = [asyncio.create_task(request(caller, alarms)) for caller in callers]
        await asyncio.sleep(0)
        for caller in callers:
            caller.leave()
            caller.leave()
        while not all(task.done() for task in tasks):
            told.append("others")
            await asyncio.sleep(0)

    asyncio.run(main())
    turns = "".join({"hung up": "h", "ended": "e", "others": "o"}[one] for one in told).split("o")
    assert turns[0] == "h" * crowd
    assert [len(turn) for turn in turns[1:] if turn] == [LEAVING_AT_ONCE] * 3 + [1]


def test_a_request_that_ends_before_its_turn() -> None:
    """Its guard is closed: whatever the task does by then is not cancelled."""

    async def main() -> None:
        alarms, task = Alarms(), asyncio.current_task()
        guards = [Guard(100, 5, alarms) for _ in range(LEAVING_AT_ONCE + 1)]
        for guard in guards[:-1]:
            alarms.leave(guard, asyncio.get_running_loop())
        caller = Caller()
        guards[-1].hang_up = lambda: None
        guards[-1].watch(cast("Line", caller))
        caller.leave()
        guards[-1].close()
        await asyncio.sleep(0.01)
        assert task is not None
        assert task.cancelling() == 0

    asyncio.run(main())


def test_a_caller_who_leaves_after_the_end() -> None:
    """A closed guard has let go of the line: nothing fires."""

    async def main() -> None:
        guard, caller = Guard(100, 5), Caller()
        guard.watch(cast("Line", caller))
        await asyncio.sleep(1)
        guard.close()
        guard.close()
        caller.leave()
        await asyncio.sleep(1000)

    jumping(main())
