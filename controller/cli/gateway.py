"""`spillway gateway`: the data plane process, run by `spillway up` or by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.platforms import CONTEXT, NAMESPACE, PLATFORM, Where

if TYPE_CHECKING:
    from controller.cli.errors import CliError
    from controller.config.settings import Settings

EPILOG = "Examples: spillway gateway    spillway gateway -c spillway.yaml    spillway gateway --platform kubernetes"


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `gateway`."""
    app.command("gateway", epilog=EPILOG)(gateway)


def gateway(
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, help="keys, ledger and run state [default: .spillway]"),
    platform: Annotated[Where, PLATFORM] = Where.PROCESSES,
    namespace: Annotated[str | None, NAMESPACE] = None,
    context: Annotated[str | None, CONTEXT] = None,
) -> None:
    """Serve the OpenAI API until SIGTERM or Ctrl-C, then let open answers finish."""
    from controller.gateway.server import serve
    from controller.telemetry.logs import configure_logs

    if platform is Where.KUBERNETES:
        from controller.cli.wiring_kubernetes_gateway import build_gateway as build_in_cluster

        configure_logs(process="gateway")
        service, settings = build_in_cluster(config, state_dir, context=context, namespace=namespace)
    else:
        from controller.cli.wiring import await_database, settings_from
        from controller.cli.wiring_processes import build_gateway

        settings = settings_from(config, state_dir)
        configure_logs(process="gateway")
        await_database(settings)
        service = build_gateway(settings, load=lambda: settings_from(settings.file, settings.state_dir))
    try:
        serve(service, settings)
    except OSError as error:
        raise _not_listening(settings, error) from error


def _not_listening(settings: Settings, error: OSError) -> CliError:
    from controller.cli.errors import CliError

    where = settings.gateway
    return CliError(
        f"the gateway cannot listen on {where.host}:{where.port} and {where.admin_host}:{where.admin_port}",
        error.strerror or str(error),
        "stop what listens there, or set gateway.port and gateway.admin_port in spillway.yaml",
    )
