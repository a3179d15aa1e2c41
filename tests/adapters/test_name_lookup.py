"""Names are looked up aside from the loop; what was known of a silent name server's names still holds."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from controller.adapters.name_lookup import FRESH_S, KNOWN_LOOKUP_S, STALE_S, Found, NameLookup

FIRST, SECOND, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"


class Scripted:
    """A system resolver that does what it is told, at times that a test sets, and `names` that ask it."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.says: str | OSError | threading.Event = FIRST  # an event is waited for
        self.looked = 0
        self.names = NameLookup(look=self.look, clock=lambda: self.now_s)

    def look(self, host: str) -> Found:
        """One lookup."""
        del host
        self.looked += 1
        says = self.says
        if isinstance(says, OSError):
            raise says
        if isinstance(says, threading.Event):
            says.wait(10.0)
            return ((socket.AF_INET, 6, FIRST),)
        return ((socket.AF_INET, 6, says),)

    async def find(self, host: str) -> list[str]:
        """The addresses of a name."""
        return [address for _, _, address in await self.names.find(host)]


def test_an_answer_is_used_for_a_while() -> None:
    """One lookup for many questions at a time and for ten seconds, then another."""

    async def main() -> None:
        here = Scripted()
        assert await asyncio.gather(*(here.find("a") for _ in range(5))) == [[FIRST]] * 5
        here.says = SECOND
        here.now_s += FRESH_S - 0.1
        assert (await here.find("a"), here.looked) == ([FIRST], 1)
        here.now_s += 0.2
        assert (await here.find("a"), here.looked) == ([SECOND], 2)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "stands_in"),
    [(socket.gaierror(socket.EAI_AGAIN, "again"), True), (socket.gaierror(socket.EAI_NONAME, "none"), False)],
    ids=["no name server", "no such name"],
)
def test_what_was_known(error: OSError, stands_in: bool) -> None:
    """Holds for an hour when no name server answers, and not when one says that there is no such name."""

    async def main() -> None:
        here = Scripted()
        await here.find("a")
        here.says = error
        for wait_s, known in ((FRESH_S, stands_in), (FRESH_S, stands_in), (STALE_S, False)):
            here.now_s += wait_s
            if known:
                assert await here.find("a") == [FIRST]
            else:
                with pytest.raises(socket.gaierror):
                    await here.find("a")

    asyncio.run(main())


def test_a_silent_name_server() -> None:
    """Costs those who know the name a moment, once, and the loop no thread of its own."""

    async def main() -> None:
        here = Scripted()
        await here.find("a")
        here.now_s += FRESH_S
        held = here.says = threading.Event()
        began_s = time.monotonic()
        assert await here.find("a") == [FIRST]
        assert time.monotonic() - began_s >= KNOWN_LOOKUP_S
        here.now_s += 1.1 * KNOWN_LOOKUP_S
        waiting = asyncio.create_task(here.find("a"), name="find")
        await asyncio.sleep(0)
        assert waiting.done(), "it waited again for what it knows to be silent"
        others = [asyncio.create_task(here.find(f"b{number}"), name="find") for number in range(40)]
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), timeout=5.0) == 1
        held.set()
        await asyncio.gather(*others)
        assert here.looked == 42

    asyncio.run(main())


def test_a_name_moves() -> None:
    """What the last two answers have not is left; a busy connection's name is asked for again without waiting."""

    async def main() -> None:
        here = Scripted()
        assert here.names.still_leads("a", THIRD), "nothing is known of it"
        await here.find("a")
        assert not here.names.still_leads("a", THIRD)
        expected = [(SECOND, True), (THIRD, False)]
        for says, first_counts in expected:
            here.says = says
            here.now_s += FRESH_S
            looked = here.looked
            here.names.still_leads("a", FIRST)
            here.names.still_leads("a", FIRST)
            async with asyncio.timeout(5.0):
                while not here.names.still_leads("a", says):
                    await asyncio.sleep(0.01)
            assert here.looked == looked + 1
            assert here.names.still_leads("a", FIRST) is first_counts
        here.says = OSError("no")
        here.now_s += FRESH_S
        here.names.still_leads("a", THIRD)
        await asyncio.sleep(0.05)
        assert here.names.still_leads("a", THIRD), "a failed lookup says nothing"

    asyncio.run(main())


def test_a_name_that_cannot_be() -> None:
    """Is an error of the lookup, not of its thread."""
    with pytest.raises((OSError, UnicodeError)):
        asyncio.run(NameLookup().find("x" * 70 + ".invalid"))
