"""`python -m controller.engine_sim`: one simulated vLLM replica."""

from __future__ import annotations

import asyncio
import os
import sys

import structlog
import uvloop

from controller.engine_sim.app import EngineApp
from controller.engine_sim.arguments import EngineOptions, read
from controller.engine_sim.engine import Engine
from controller.engine_sim.faults import Faults
from controller.engine_sim.serving import cold_start, every, listen_or_exit, serve
from controller.engine_sim.usage import UsageBook
from controller.telemetry.logs import configure_logs

USAGE_INTERVAL_S = 0.2

log = structlog.get_logger(__name__)


async def run(options: EngineOptions) -> None:
    """Start cold, serve, drain, leave the last counts on disk."""
    if not await cold_start(options.cold_start_s):
        return
    faults, book = Faults(), UsageBook()
    engine = Engine(options.setup, faults)
    app = EngineApp(options.model, engine, faults, book, os.environ.get("VLLM_API_KEY"))

    def save() -> None:
        if options.usage_file is not None:
            book.write(options.usage_file)

    listener = listen_or_exit(options.host, options.port)
    log.info("ready", simulated=True, model=options.setup.model_name, port=options.port, estimated=options.scaled)
    try:
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(engine.run(), name="engine"),
                tasks.create_task(every(USAGE_INTERVAL_S, save), name="save-usage"),
            ]
            await serve(app, listener, drain_s=options.drain_s)
            for task in background:
                task.cancel()
    finally:
        engine.abort_all()
        save()


def main(argv: list[str] | None = None) -> None:
    """Entry point, also of `spillway engine-sim`."""
    options = read(sys.argv[1:] if argv is None else argv)
    configure_logs(process="engine-sim")
    uvloop.run(run(options))


if __name__ == "__main__":
    main()
