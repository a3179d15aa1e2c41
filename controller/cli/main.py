"""The `spillway` command: joins the subcommands and turns what they raise into exit codes."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import typer

from controller.cli.cluster_options import KUBERNETES, PLATFORM, PLUGIN, PROGRAM, with_flags_behind
from controller.cli.errors import EXIT_USAGE, CliError, exit_code_of, print_error
from controller.core.errors import SpillwayError

# In the order `spillway --help` lists them; each module has `register(app)` and imports what is heavy only when run.
COMMANDS = (
    "up", "demo", "status", "request", "route", "explain", "load", "pool", "keys", "connect", "ledger",
    "config", "infra", "simulate", "bench", "gateway", "controller", "engine_sim",
)  # fmt: skip

EPILOG = "Start here: spillway up    Then: spillway status --watch    Exit codes: spillway help exit-codes"

HELP_TOPICS = {
    "exit-codes": (
        "0    done",
        "1    failed",
        "2    wrong usage or invalid configuration",
        "3    nothing changed, where that was asked to be told",
        "4    API key missing or refused; on a cluster: not known there, or no right to it",
        "130  stopped with Ctrl-C",
        "143  stopped with SIGTERM",
    ),
    "environment": (
        "AI_PHASE               phase1 | phase2 | phase2.5 | phase3",
        "OPENAI_API_KEY, ANTHROPIC_API_KEY, GROQ_API_KEY, TOGETHER_API_KEY",
        "                       without one, `spillway up` answers for that provider with a simulated stand-in",
        "LLAMA_8B_ENDPOINT, MIXTRAL_ENDPOINT, LLAMA_70B_ENDPOINT",
        "                       fixed replicas with a /v1 suffix; a comma separates several",
        "SPILLWAY_STATE_DIR     keys, ledger and run state (default .spillway)",
        "SPILLWAY_DATABASE_URL  PostgreSQL for keys, ledger and budgets of many gateways (default SQLite in state_dir)",
        "SPILLWAY_PEPPER_FILE   the pepper of all gateways, made by you (default: made in the state folder)",
        "SPILLWAY_PROVIDERS_WITH_KEYS",
        "                       for the controller: providers whose keys only the gateways hold, with commas",
        "SPILLWAY_PLATFORM      processes (default) | kubernetes; there SPILLWAY_NAMESPACE and SPILLWAY_POD_NAME",
        "                       are where the ModelPools are, and what this process is called; commands are about",
        "                       the cluster that KUBECONFIG names (spillway help cluster)",
        "SPILLWAY_API_KEY       the key that `spillway connect` uses when it is not to make one",
        "NO_COLOR, FORCE_COLOR, TERM, COLUMNS",
        "                       as everywhere",
    ),
    "cluster": (
        "--context NAME, --namespace NAME (-n) or --kubeconfig FILE: the command is about a cluster, not this machine;",
        "each is kubeconfig's own where it is left out, and may stand before or behind the command.",
        "SPILLWAY_PLATFORM=kubernetes, or `kubectl spillway` in place of `spillway`: so without any of them.",
        "status, explain, route, pool list: ModelPools, pods and Deployments (get, list), pages of pods (pods/proxy)",
        "pool pin, pool unpin              spec.pin of the ModelPool (patch), as `kubectl patch` writes it",
        "pool drain                        an annotation of the pod (patch)",
        "keys, ledger, request             run in a pod of the gateway (pods/exec)",
        "config validate, config show      the ConfigMap of the chart, and the ModelPools",
    ),
    "formatting": (
        "Data goes to stdout, words to stderr.",
        "--json prints one document: {schema, kind, data}; with --watch one per line.",
        "Names carry their unit: _s, _tokens, _ratio, _usd.",
    ),
}


def build_app() -> typer.Typer:
    """The command tree."""
    app = typer.Typer(
        name="spillway",
        help="Self-host what you can, spill what you can't.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: shows twice as fast
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in COMMANDS:
        import_module(f"controller.cli.{name}").register(app)
    app.command("help", help="Explain exit-codes, environment, cluster or formatting.")(_help)
    return app


def _root() -> None:
    """Self-host what you can, spill what you can't."""


def _help(topic: str = typer.Argument("exit-codes", help="exit-codes | environment | cluster | formatting")) -> None:
    lines = HELP_TOPICS.get(topic)
    if lines is None:
        raise CliError(f"no help on '{topic}'", "topics are " + ", ".join(HELP_TOPICS), exit_code=EXIT_USAGE)
    for line in lines:
        sys.stdout.write(line + "\n")


def main() -> None:
    """Entry point: every refusal is one clear line (`SPILLWAY_DEBUG=1` adds the traceback)."""
    run("spillway", sys.argv[1:])


def kubectl_main() -> None:
    """Entry point of `kubectl spillway`: the same commands, about a cluster."""
    os.environ[PLATFORM], os.environ[PROGRAM] = KUBERNETES, PLUGIN
    run(PLUGIN, sys.argv[1:])


def run(name: str, words: list[str]) -> None:
    """One command line, and the exit code that says what became of it."""
    try:
        build_app()(prog_name=name, args=with_flags_behind(words))
    except SpillwayError as error:
        if os.environ.get("SPILLWAY_DEBUG"):
            raise
        print_error(error, as_json="--json" in words)
        sys.exit(exit_code_of(error))


if __name__ == "__main__":
    main()
