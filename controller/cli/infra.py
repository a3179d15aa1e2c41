"""`spillway infra`: what a stack of infra/ costs and holds, what its account or bucket lacks, what it left behind."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.errors import EXIT_FAILED, EXIT_USAGE, CliError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.core.errors import Problem

STACK = typer.Option("dev", "--stack", "-s", help="the stack: its settings are in Pulumi.STACK.yaml")
FOLDER = typer.Option(None, "--dir", help="the folder of that file [default: infra here, else this folder]")
AS_JSON = typer.Option(False, "--json", help="one JSON document on stdout")


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `infra plan|preflight|weights|leftovers`."""
    from controller.cli.infra_account import leftovers, preflight
    from controller.cli.infra_weights import weights

    infra = typer.Typer(
        help="Plan a stack on AWS, check the account for it, fill in its weights, find what it left.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    infra.command("plan", epilog="Examples: spillway infra plan --stack prod    spillway infra plan -s eu --json")(plan)
    infra.command("preflight", epilog="Example: spillway infra preflight --stack prod")(preflight)
    infra.command("weights", epilog="Example: spillway infra weights --stack prod --bucket BUCKET --fill")(weights)
    infra.command("leftovers", epilog="Example: spillway infra leftovers --stack dev --json")(leftovers)
    app.add_typer(infra, name="infra")


def plan(
    stack: str = STACK,
    folder: Path | None = FOLDER,
    today: str | None = typer.Option(None, help="judge versions and capacity blocks on this date [default: today]"),
    as_json: bool = AS_JSON,
) -> None:
    """Tell what the stack costs, whether its models fit, and everything that is wrong with it; nothing is asked of AWS.

    Exit code 0, or 2 when the stack cannot be built.
    """
    from controller.cli.config import date_of
    from controller.cli.output import emit_json

    need_infra()
    from infra.plan import table
    from infra.settings import examine

    whole, problems = examine(stack_file(stack, folder), today=date_of(today))
    valid = not any(problem.severity == "error" for problem in problems)
    if as_json:
        emit_json("infra-plan", {"stack": stack, "valid": valid, "plan": whole, "problems": problems})
    else:
        if whole is not None:
            typer.echo(table(whole), nl=False)
        tell(stack, problems, valid=valid)
    if not valid:
        raise typer.Exit(EXIT_USAGE)


def tell(stack: str, problems: Sequence[Problem], *, valid: bool) -> None:
    """The problems line by line, and what to do next."""
    from controller.cli.output import say

    for problem in problems:
        say(problem.severity, str(problem))
    if valid:
        say("next", f"spillway infra preflight --stack {stack}    then: pulumi -C infra preview --stack {stack}")
    else:
        say("fix", "mend the lines above; every key with its meaning: infra/README.md")


def need_infra() -> None:
    """Refuse in one line where the package is not, as in the images."""
    if find_spec("infra") is None:
        why = "this installation has the gateway and the controller alone"
        raise CliError(
            "there is no infra here", why, "run it in a checkout: .venv/bin/spillway infra plan", EXIT_FAILED
        )


def stack_file(stack: str, folder: Path | None) -> Path:
    """The file of the stack; a refusal that names the stacks there are when it is not there."""
    place = folder or (Path("infra") if Path("infra", "Pulumi.yaml").is_file() else Path())
    file = place / f"Pulumi.{stack}.yaml"
    if not file.is_file():
        there_are = sorted(path.name.split(".")[1] for path in place.glob("Pulumi.*.yaml"))
        why = (
            f"stacks in {place.absolute()}: {', '.join(there_are)}"
            if there_are
            else f"no stack is in {place.absolute()}"
        )
        raise CliError(f"there is no {file}", why, "--stack NAME, and --dir FOLDER of Pulumi.NAME.yaml", EXIT_USAGE)
    return file
