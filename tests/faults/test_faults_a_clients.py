"""Fault group A: what callers do to the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.caller import LEFT, Leave
from tests.faults.play import play
from tests.faults.rows import row
from tests.faults.stub_scripts import answer
from tests.faults.world import POOL, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

LEAVE_AFTER_S = (0.0, 0.05, 0.5)
FREED_S = 1.0
OUTSIDE = {"stub-openai": "openai", "stub-anthropic": "anthropic"}


@pytest.mark.parametrize("model", [POOL])
def test_a1_callers_leave_before_the_first_token(model: str, tmp_path: Path) -> None:
    """The upstream sees them go within a second, streaming or not, and money set aside is given back or booked."""

    async def scene() -> None:
        async with world(tmp_path / "a1", providers=OUTSIDE) as here, row(here, "A1", f"leave early, {model}") as line:
            for stub in here.stubs:
                stub.script = answer(first_after_s=8.0, head_after_s=0.0)
            first = len(here.calls)
            line.injected()
            for stream in (True, False):
                for after_s in LEAVE_AFTER_S:
                    told = await here.ask(stream=stream, model=model, leave=Leave(after_s=after_s))
                    assert told.end == LEFT
                    line.detected()
                    await eventually(
                        lambda: all(call.left_s is not None for call in here.calls[first:]), within_s=FREED_S
                    )
                    left = [call.left_s - told.ended_s for call in here.calls[first:] if call.left_s is not None]
                    line.figures["upstream_saw_s"] = round(
                        max([line.figures.get("upstream_saw_s", 0.0), *left[-1:]]), 3
                    )
                    await eventually(lambda: _is_free(here), within_s=FREED_S)
            line.healed()

    async def _is_free(here: object) -> bool:
        return not await here.gauge("spillway_in_flight")  # type: ignore[attr-defined]

    play(scene())
