"""A stub engine as a process of its own, for rows that kill or stop it: `python -m tests.faults.stub_process PORT`."""

from __future__ import annotations

import asyncio
import sys

from tests.faults.stub import Stub, running
from tests.faults.stub_scripts import answer

TOKENS, GAP_S = 400, 0.02


async def _main(port: int) -> None:
    stub = Stub(f"killable-{port}", answer(tokens=TOKENS, gap_s=GAP_S), port=port)
    async with running(stub):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
