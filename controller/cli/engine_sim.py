"""`spillway engine-sim`: one simulated vLLM server by hand, or the stand-in for external providers."""

from __future__ import annotations

import typer

_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
_HELP = """Run one simulated vLLM server, or the stand-in provider.

    spillway engine-sim --model-key llama-8b-self --instance-type g5.2xlarge --port 8001
    spillway engine-sim provider --port 8090
    spillway engine-sim --help
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("engine-sim", help=_HELP, context_settings=_PASS_ON)(engine_sim)


def engine_sim(context: typer.Context) -> None:
    """Hand all arguments to the process's own parser."""
    arguments = list(context.args)
    if arguments[:1] == ["provider"]:
        from controller.engine_sim.provider import main as provider

        provider(arguments[1:])
        return
    from controller.engine_sim.__main__ import main

    main(arguments)
