"""`spillway controller`: the control plane process, run by `spillway up` or by hand."""

from __future__ import annotations

import os
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.platforms import CONTEXT, NAMESPACE, PLATFORM, Where

EPILOG = "Examples: spillway controller --engine vllm    spillway controller --platform kubernetes --namespace models"


class Engine(StrEnum):
    """What serves the own pools."""

    SIM = "sim"
    VLLM = "vllm"


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `controller`."""
    app.command("controller", epilog=EPILOG)(controller)


def controller(
    *,
    engine: Engine = typer.Option(Engine.SIM, help="sim: simulated engines; vllm: the real server"),
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, help="keys, ledger and run state [default: .spillway]"),
    platform: Annotated[Where, PLATFORM] = Where.PROCESSES,
    namespace: Annotated[str | None, NAMESPACE] = None,
    context: Annotated[str | None, CONTEXT] = None,
) -> None:
    """Scale and route the own pools until SIGTERM or Ctrl-C; replicas go on running."""
    if platform is Where.KUBERNETES:
        _on_kubernetes(config, state_dir, namespace, context)
    else:
        _on_this_machine(engine, config, state_dir)


def _on_this_machine(engine: Engine, config: Path | None, state_dir: Path | None) -> None:
    import asyncio

    from controller.cli.wiring import settings_from
    from controller.cli.wiring_processes import build_controller
    from controller.loop.serve import run
    from controller.telemetry.logs import configure_logs

    settings = settings_from(config, state_dir)
    configure_logs(process="controller")

    async def serve(listener: socket.socket) -> None:
        control = build_controller(
            settings, engine.value, load=lambda: settings_from(settings.file, settings.state_dir)
        )
        await run(control.loop, listener, control.reloads)

    with _listener(settings.controller.host, settings.controller.port) as listener:
        asyncio.run(serve(listener))


def _on_kubernetes(config: Path | None, state_dir: Path | None, namespace: str | None, context: str | None) -> None:
    """Stands by, and leads once this controller holds the lease; exit code 1 once it has lost it."""
    import asyncio

    import structlog

    from controller.adapters.kubernetes_lease import LeaseLost
    from controller.cli.wiring_kubernetes import ControllerOnKubernetes, base_from, open_access
    from controller.loop.elected import run
    from controller.modelpool.cluster_pools import cluster_pools
    from controller.telemetry.logs import configure_logs

    environ = dict(os.environ)
    base = base_from(config, state_dir, environ)
    configure_logs(process="controller")

    async def serve(listener: socket.socket) -> None:
        cluster = ControllerOnKubernetes(await open_access(context, namespace, environ), base, environ)
        await run(cluster, cluster.lease, listener, cluster.reload(lambda: base_from(config, state_dir, environ)))

    settings = cluster_pools(base, ()).settings
    with _listener(settings.controller.host, settings.controller.port) as listener:
        lost: list[str] = []
        try:
            asyncio.run(serve(listener))
        except* LeaseLost as group:
            lost = [str(one) for one in group.exceptions]
        if lost:
            structlog.get_logger().error("lease_lost", reason="; ".join(lost))
            raise typer.Exit(1)


def _listener(host: str, port: int) -> socket.socket:
    from controller.cli.errors import CliError
    from controller.web.server import listen

    try:
        return listen(host, port)
    except OSError as error:
        raise CliError(
            f"the controller cannot listen on {host}, port {port}",
            error.strerror or str(error),
            "stop what listens there, or set controller.port in spillway.yaml",
        ) from error
