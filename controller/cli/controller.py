"""`spillway controller`: the control plane process, run by `spillway up` or by hand."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

EPILOG = "Examples: spillway controller    spillway controller --engine vllm -c spillway.yaml"


class Engine(StrEnum):
    """What serves the own pools."""

    SIM = "sim"
    VLLM = "vllm"


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `controller`."""
    app.command("controller", epilog=EPILOG)(controller)


def controller(
    engine: Engine = typer.Option(Engine.SIM, help="sim: simulated engines; vllm: the real server"),
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, help="keys, ledger and run state [default: .spillway]"),
) -> None:
    """Scale and route the own pools until SIGTERM or Ctrl-C; replicas go on running."""
    import asyncio

    from controller.cli.errors import CliError
    from controller.cli.wiring import settings_from
    from controller.cli.wiring_processes import build_controller
    from controller.loop.serve import run
    from controller.telemetry.logs import configure_logs
    from controller.web.server import listen

    settings = settings_from(config, state_dir)
    configure_logs(process="controller")
    host, port = settings.controller.host, settings.controller.port
    try:
        listener = listen(host, port)
    except OSError as error:
        raise CliError(
            f"the controller cannot listen on {host}, port {port}",
            error.strerror or str(error),
            "stop what listens there, or set controller.port in spillway.yaml",
        ) from error

    async def serve() -> None:
        control = build_controller(
            settings, engine.value, load=lambda: settings_from(settings.file, settings.state_dir)
        )
        await run(control.loop, listener, control.reloads)

    with listener:
        asyncio.run(serve())
