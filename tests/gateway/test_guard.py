"""The end of a request's wait from outside: phases, deadlines, a drain. Real asyncio; time may jump."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from controller.core.errors import UpstreamTimeout
from controller.gateway.guard import EARLY_S, Alarms, CallerLeft, Guard
from tests.gateway.jumping_loop import jumping

Body = Callable[[Guard], Awaitable[None]]


def guarded(body: Body, alarms: Alarms | None = None) -> tuple[Exception | None, float]:
    """Why the body was cancelled, if it was by the guard, and after how many seconds."""
    found: list[tuple[Exception | None, float]] = []

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        guard, began_s = Guard(100.0, 5.0, alarms), loop.time()
        why = None
        try:
            await body(guard)
        except asyncio.CancelledError:
            why = guard.translate()
            assert why is not None, "cancelled by somebody else"
        finally:
            guard.close()
        found.append((why, loop.time() - began_s))
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(1000)  # nothing fires any more

    jumping(main())
    return found[0]


async def _begun(guard: Guard) -> None:
    guard.begin("ttft", 7)
    await asyncio.sleep(1000)


async def _shorter_after_longer(guard: Guard) -> None:
    guard.begin("body", 30)
    guard.begin("ttft", 7)
    await asyncio.sleep(1000)


async def _longer_after_shorter(guard: Guard) -> None:
    guard.begin("body", 7)
    await asyncio.sleep(1)
    guard.begin("ttft", 30)
    await asyncio.sleep(1000)


async def _beyond_the_whole(guard: Guard) -> None:
    guard.begin("ttft", 500)
    await asyncio.sleep(1000)


async def _progress(guard: Guard) -> None:
    guard.begin("ttft", 7)
    for _ in range(6):
        await asyncio.sleep(4)
        guard.progress()
    await asyncio.sleep(1000)


async def _progress_for_ever(guard: Guard) -> None:
    while True:
        guard.progress()
        await asyncio.sleep(4)


async def _settled(guard: Guard) -> None:
    guard.begin("body", 7)
    await asyncio.sleep(1)
    guard.settle()
    await asyncio.sleep(1000)


async def _limited(guard: Guard) -> None:
    guard.begin("body", 30)
    guard.settle()
    guard.limit(3)
    await asyncio.sleep(1000)


async def _limited_upwards(guard: Guard) -> None:
    guard.begin("body", 30)
    guard.settle()
    await asyncio.sleep(50)
    guard.limit(60)
    await asyncio.sleep(1000)


async def _sooner_than_a_while(guard: Guard) -> None:
    guard.begin("body", 30)
    guard.begin("ttft", 0.03)
    await asyncio.sleep(1000)


async def _limited_to_less_than_a_while(guard: Guard) -> None:
    guard.begin("body", 30)
    guard.limit(0.15)
    await asyncio.sleep(1000)


async def _in_time(guard: Guard) -> None:
    guard.begin("ttft", 7)
    await asyncio.sleep(6)
    guard.begin("ttft", 7)
    await asyncio.sleep(6)


TIMES = {
    # what: body, phase and limit of the timeout, when
    "a phase": (_begun, ("ttft", 7.0), 7.0),
    "a shorter phase after a longer one": (_shorter_after_longer, ("ttft", 7.0), 7.0),
    "a longer phase after a shorter one": (_longer_after_shorter, ("ttft", 30.0), 31.0),
    "a phase beyond the whole request": (_beyond_the_whole, ("total", 100.0), 100.0),
    "progress starts the idle time anew": (_progress, ("idle", 5.0), 29.0),
    "progress does not lengthen the whole": (_progress_for_ever, ("total", 100.0), 100.0),
    "a phase that is over does not count": (_settled, ("total", 100.0), 100.0),
    "a shorter deadline counts at once": (_limited, ("total", 3.0), 3.0),
    "a phase of an instant": (_sooner_than_a_while, ("ttft", 0.03), 0.03),
    "a deadline of an instant": (_limited_to_less_than_a_while, ("total", 0.15), 0.15),
    "a later deadline does not count": (_limited_upwards, ("total", 100.0), 100.0),
}


@pytest.mark.parametrize("alarms", [None, Alarms()], ids=["timers at once", "timers in a while"])
@pytest.mark.parametrize(("body", "wanted", "when_s"), TIMES.values(), ids=TIMES.keys())
def test_deadlines(body: Body, wanted: tuple[str, float], when_s: float, alarms: Alarms | None) -> None:
    """The wait ends in time, with the phase that took too long."""
    why, after_s = guarded(body, alarms)
    assert isinstance(why, UpstreamTimeout)
    assert (why.phase, why.after_s) == wanted
    assert after_s == pytest.approx(when_s, abs=0.01)


def test_in_time() -> None:
    """Phases that end in time leave the task alone."""
    assert guarded(_in_time) == (None, pytest.approx(12.0))


def test_a_timeout_leaves_the_task_able_to_try_again() -> None:
    """After a phase has expired the next one runs with its own time."""
    phases = []

    async def body(guard: Guard) -> None:
        for _ in range(2):
            guard.begin("ttft", 7)
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                why = guard.translate()
                assert isinstance(why, UpstreamTimeout)
                phases.append(why.phase)
        guard.begin("ttft", 7)
        await asyncio.sleep(5)

    assert guarded(body) == (None, pytest.approx(19.0))
    assert phases == ["ttft", "ttft"]


def test_a_request_that_ends_soon_sets_no_timer() -> None:
    """Others share one that looks at who is left; a guard that was closed by then is let go."""

    async def main() -> None:
        alarms, loop = Alarms(), asyncio.get_running_loop()
        began_s = loop.time()
        guards = [Guard(100, 5, alarms) for _ in range(3)]
        for guard in guards:
            guard.begin("ttft", 7)
        guards[0].close()
        assert [guard._timer for guard in guards] == [None] * 3
        await asyncio.sleep(EARLY_S * 2)
        assert [guard._timer is None for guard in guards] == [True, False, False]
        assert alarms._young == []
        guards[1].close()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(1000)
        assert isinstance(guards[2].translate(), UpstreamTimeout)
        assert loop.time() - began_s == pytest.approx(7)

    jumping(main())


def test_the_time_left() -> None:
    """Of the whole request, and of its own deadline once that is known."""

    async def body(guard: Guard) -> None:
        await asyncio.sleep(10)
        assert guard.remaining_s == pytest.approx(90)
        guard.limit(5)
        assert guard.remaining_s == pytest.approx(5)

    assert guarded(body)[0] is None


def test_a_drain_ends_it() -> None:
    """Somebody else's word counts once; a timeout after it does not hide it."""

    async def body(guard: Guard) -> None:
        asyncio.get_running_loop().call_later(2, guard.expire, UpstreamTimeout("drain", 30))
        asyncio.get_running_loop().call_later(2, guard.expire, UpstreamTimeout("again", 1))
        await asyncio.sleep(1000)

    why, after_s = guarded(body)
    assert isinstance(why, UpstreamTimeout)
    assert (why.phase, after_s) == ("drain", pytest.approx(2.0))


def test_a_cancellation_by_somebody_else_is_left_alone() -> None:
    """`translate` says None, so that the cancellation goes on."""

    async def main() -> None:
        async def request() -> Exception | None:
            guard = Guard(100, 5)
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                return guard.translate()
            return CallerLeft()

        task = asyncio.create_task(request())
        await asyncio.sleep(1)
        task.cancel()
        assert await task is None

    jumping(main())


def test_a_guard_needs_a_task() -> None:
    """There would be nothing to cancel."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[str] = loop.create_future()

        def outside() -> None:
            with pytest.raises(RuntimeError, match="belongs to the task"):
                Guard(100, 5)
            failed.set_result("refused")

        loop.call_soon(outside)
        assert await failed == "refused"

    jumping(main())
