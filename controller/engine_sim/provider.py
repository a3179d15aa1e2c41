"""`python -m controller.engine_sim.provider`: one process that stands in for every external provider."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog
import uvloop

from controller.core.models import Model, Provider
from controller.engine_sim.arguments import known_catalogue
from controller.engine_sim.faults import Faults
from controller.engine_sim.limits import RateLimit
from controller.engine_sim.provider_app import Account, ProviderApp
from controller.engine_sim.serving import listen_or_exit, serve
from controller.telemetry.logs import configure_logs

log = structlog.get_logger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = argparse.ArgumentParser(
        prog="python -m controller.engine_sim.provider",
        description="Answers for OpenAI, Anthropic, Groq and Together under /<provider>/v1, with made-up text.",
        epilog="example: python -m controller.engine_sim.provider --port 8090 --requests-per-min 600",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--config", type=Path, help="spillway.yaml with models, prices and limits of your own")
    parser.add_argument("--requests-per-min", type=int, help="limit per key [default: the provider's own]")
    parser.add_argument("--drain-s", type=float, default=10.0, help="on SIGTERM, open answers get so long")
    return parser


def accounts(
    models: Mapping[str, Model], providers: Mapping[str, Provider], requests_per_min: int | None
) -> Mapping[str, Account]:
    """Every external provider with its models; dead models answer here too."""
    found = {}
    for name, provider in providers.items():
        served = {model.model_id: model for model in models.values() if model.provider == name}
        per_min = requests_per_min or provider.requests_per_min
        limit = RateLimit(per_min=per_min) if per_min is not None else None
        found[name] = Account(provider=provider, models=served, limit=limit)
    return found


async def run(host: str, port: int, served: Mapping[str, Account], drain_s: float) -> None:
    """Serve until told to stop."""
    app = ProviderApp(served, Faults())
    listener = listen_or_exit(host, port)
    log.info("ready", simulated=True, port=port)
    await serve(app, listener, drain_s=drain_s)


def main(argv: list[str] | None = None) -> None:
    """Entry point, also of `spillway engine-sim provider`."""
    given = build_parser().parse_args(sys.argv[1:] if argv is None else argv)
    configure_logs(process="stand-in")
    known = known_catalogue(given.config)
    served = accounts(known.models, known.providers, given.requests_per_min)
    uvloop.run(run(given.host, given.port, served, given.drain_s))


if __name__ == "__main__":
    main()
