"""`spillway config`: check spillway.yaml, show what holds, print its JSON Schema."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster_options import also_on_cluster

if TYPE_CHECKING:
    from controller.config.settings import Settings
    from controller.core.errors import Problem

FILE = typer.Argument(None, help="the file [default: spillway.yaml here, else the user's, else the built-in one]")
CONFIG = typer.Option(None, "--config", "-c", help="the same as FILE")
AS_JSON = typer.Option(False, "--json", help="one JSON document on stdout")


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `config validate|show|schema`."""
    config = typer.Typer(help="Check, show and describe spillway.yaml.", no_args_is_help=True, rich_markup_mode=None)
    config.command("validate", epilog="Example: spillway config validate spillway.yaml --json")(validate)
    config.command("show", epilog="Example: spillway config show --json | jq .data.pools")(show)
    config.command("schema", epilog="Example: spillway config schema > spillway.schema.json")(schema)
    app.add_typer(config, name="config")


@also_on_cluster("cluster_config:validate")
def validate(
    file: Path | None = FILE,
    config: Path | None = CONFIG,
    today: str | None = typer.Option(None, help="judge the lifetimes of models on this date [default: today]"),
    strict: bool = typer.Option(False, "--strict", help="warnings count as errors"),
    as_json: bool = AS_JSON,
) -> None:
    """Tell everything that is wrong, all at once. Exit code 0, or 2 when something is refused."""
    from controller.cli.errors import EXIT_USAGE
    from controller.cli.output import emit_json
    from controller.cli.wiring import config_file
    from controller.config.check import check

    environ = dict(os.environ)
    chosen = config_file(one_file(file, config), environ)
    problems = check(chosen, environ, date_of(today))
    errors = [problem for problem in problems if problem.severity == "error"]
    refused = ("error", "warning") if strict else ("error",)
    valid = not any(problem.severity in refused for problem in problems)
    if as_json:
        emit_json("config-check", {"file": chosen, "valid": valid, "problems": problems})
    else:
        following = f"spillway up --config {shlex.quote(str(chosen))}" if chosen else "spillway up"
        tell(_words(chosen), problems, len(errors), valid=valid, following=following)
    if not valid:
        raise typer.Exit(EXIT_USAGE)


def tell(origin: str, problems: Sequence[Problem], errors: int, *, valid: bool, following: str) -> None:
    """The problems line by line, how many there are, and what to do next."""
    from controller.cli.output import say

    notes = [problem for problem in problems if problem.severity == "note"]
    for problem in problems:
        if problem not in notes:
            say(problem.severity, str(problem))
    for line in _note_lines(notes):
        say("note", line)
    counts = f"{_count(errors, 'error')}, {_count(len(problems) - errors - len(notes), 'warning')} in {origin}"
    if valid:
        say("ok", counts)
        say("next", following)
    else:
        say("error", counts)
        say("fix", "mend the lines above; every key with its allowed values: spillway config schema")


def _note_lines(notes: Sequence[Problem]) -> list[str]:
    """One line on each thing that the built-in configuration settles by itself."""
    unset = [note.key for note in notes if note.file == "environment"]
    ending = [note.message for note in notes if note.file != "environment"]
    lines = []
    if ending:
        lines.append(f"built-in models that end have a successor, used from that day on: {'; '.join(ending)}")
    if unset:
        who = "`spillway up` puts simulated stand-ins in for their providers; a gateway without it passes them over"
        lines.append(f"not set: {', '.join(unset)}: {who}")
    return lines


@also_on_cluster("cluster_config:show")
def show(
    file: Path | None = FILE,
    config: Path | None = CONFIG,
    today: str | None = typer.Option(None, help="load as on this date [default: today]"),
    as_json: bool = AS_JSON,
) -> None:
    """Show what holds after file, environment and defaults. Keys of providers are never shown."""
    from controller.cli.output import emit_json
    from controller.cli.wiring import config_file
    from controller.config.load import load_settings

    environ = dict(os.environ)
    chosen = config_file(one_file(file, config), environ)
    settings = load_settings(chosen, environ, today=date_of(today))
    if as_json:
        emit_json("config", settings)
        return
    show_tables(settings)


def show_tables(settings: Settings, command: Callable[[str], str] = "spillway {}".format) -> None:
    """What holds, for people. `command`: how a command is typed."""
    from controller.cli.output import say, table
    from controller.cli.tenant_words import TENANT_HEADS, budget_words, limits_of

    gateway, controller = settings.gateway, settings.controller
    table(
        f"Configuration: {_words(settings.file)}",
        ["KEY", "VALUE"],
        [
            ["phase", settings.phase.value],
            ["gateway", f"http://{gateway.host}:{gateway.port}/v1 (admin {gateway.admin_host}:{gateway.admin_port})"],
            ["controller", f"http://{controller.host}:{controller.port}, a tick every {controller.tick_s:g} s"],
            ["state_dir", str(settings.state_dir)],
            ["database", database_words(settings)],
            ["budgets", budget_words(settings.budgets) or "none"],
        ],
    )
    if settings.tenants:
        table("\nTenants", TENANT_HEADS, [[name, *limits_of(policy)] for name, policy in settings.tenants.items()])
    table("\nPools", ["POOL", "MODEL", "RUNS ON", "ENGINE", "REPLICAS", "SPILLS TO"], _pool_rows(settings))
    table(
        "\nModels in use", ["MODEL", "PROVIDER", "USD/MTOK IN", "USD/MTOK OUT", "ENDS", "THEN"], _model_rows(settings)
    )
    for warning in settings.warnings:
        say("warning", str(warning))
    say("next", f"{command('config validate')}    Everything as data: {command('config show --json')}")


def database_words(settings: Settings) -> str:
    """Where keys and ledger are; never the URL, which holds a password."""
    variable = settings.database_url_env
    return "SQLite in state_dir" if variable is None else f"PostgreSQL, URL in {variable}"


def _pool_rows(settings: Settings) -> list[list[str]]:
    return [
        [
            pool.name,
            pool.model,
            ", ".join(pool.endpoints) or pool.instance_type,
            f"TP={pool.engine.tensor_parallel} {pool.engine.weights}, {pool.engine.max_model_len_tokens} tokens",
            f"{len(pool.endpoints)} fixed"
            if pool.endpoints
            else f"{pool.scale.min_replicas} to {pool.scale.max_replicas}",
            ", ".join(pool.spill.to) or "nowhere",
        ]
        for pool in settings.pools.values()
    ]


def _model_rows(settings: Settings) -> list[list[str]]:
    return [
        [
            model.key,
            model.provider,
            f"{model.price.usd_per_mtok_in.normalize():f}",
            f"{model.price.usd_per_mtok_out.normalize():f}",
            "" if model.shutdown_date is None else model.shutdown_date.isoformat(),
            model.replaced_by or "",
        ]
        for model in settings.models.values()
        if model.enabled
    ]


def schema(
    as_json: bool = typer.Option(False, "--json", help="wrapped like every other document"),
) -> None:
    """Print the JSON Schema of spillway.yaml, for editors: `# yaml-language-server: $schema=spillway.schema.json`."""
    from controller.cli.output import emit_json
    from controller.config.json_schema import json_schema

    if as_json:
        emit_json("config-schema", json_schema())
        return
    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")


def one_file(file: Path | None, config: Path | None) -> Path | None:
    """The file, named in either way."""
    from controller.cli.errors import EXIT_USAGE, CliError

    if file is not None and config is not None and file != config:
        raise CliError("two files given", f"{file} and --config {config}", "name one of them", exit_code=EXIT_USAGE)
    return file if file is not None else config


def date_of(text: str | None) -> date:
    """The day in the text; today where there is none."""
    from controller.cli.errors import EXIT_USAGE, CliError

    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise CliError(f"'{text}' is no date", "allowed: YYYY-MM-DD", exit_code=EXIT_USAGE) from error


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _words(file: Path | None) -> str:
    return "the built-in configuration" if file is None else str(file)
