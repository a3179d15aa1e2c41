"""`spillway gateway`: the data plane process, run by `spillway up` or by hand."""

from __future__ import annotations

from pathlib import Path

import typer

EPILOG = "Examples: spillway gateway    spillway gateway -c spillway.yaml --state-dir /var/lib/spillway"


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `gateway`."""
    app.command("gateway", epilog=EPILOG)(gateway)


def gateway(
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, help="keys, ledger and run state [default: .spillway]"),
) -> None:
    """Serve the OpenAI API until SIGTERM or Ctrl-C, then let open answers finish."""
    from controller.cli.errors import CliError
    from controller.cli.wiring import await_database, settings_from
    from controller.cli.wiring_processes import build_gateway
    from controller.gateway.server import serve
    from controller.telemetry.logs import configure_logs

    settings = settings_from(config, state_dir)
    configure_logs(process="gateway")
    await_database(settings)
    try:
        serve(build_gateway(settings, load=lambda: settings_from(settings.file, settings.state_dir)), settings)
    except OSError as error:
        where = settings.gateway
        raise CliError(
            f"the gateway cannot listen on {where.host}:{where.port} and {where.admin_host}:{where.admin_port}",
            error.strerror or str(error),
            "stop what listens there, or set gateway.port and gateway.admin_port in spillway.yaml",
        ) from error
