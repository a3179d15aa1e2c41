"""`spillway infra preflight` and `leftovers`: read-only questions to the AWS account that is to hold a stack."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.errors import EXIT_FAILED, CliError

if TYPE_CHECKING:
    from infra.leftovers import Leftover
    from infra.preflight import Finding

STACK = typer.Option("dev", "--stack", "-s", help="the stack: its settings are in Pulumi.STACK.yaml")
FOLDER = typer.Option(None, "--dir", help="the folder of that file [default: infra here, else this folder]")
PROFILE = typer.Option(None, "--profile", help="profile of ~/.aws [default: the environment's]")
AS_JSON = typer.Option(False, "--json", help="one JSON document on stdout")
LABELS = {"ok": "ok", "missing": "error", "warning": "warning", "unknown": "warning"}


def preflight(
    stack: str = STACK,
    folder: Path | None = FOLDER,
    profile: str | None = PROFILE,
    as_json: bool = AS_JSON,
) -> None:
    """Ask the account for what the stack needs: identity, quotas, offerings, images, capacity, secrets, prices.

    Every call only reads; what is missing is told with the command that asks for it. Exit code 0, or 1 if something is.
    """
    from controller.cli.infra import stack_file
    from controller.cli.output import emit_json, told_while

    need_infra_extra()
    from infra.settings import load_unpriced

    settings = load_unpriced(stack_file(stack, folder))
    from infra.aws.access import Access
    from infra.preflight import judge
    from infra.preflight.gather import gather

    with told_while("preflight", f"asking AWS in {settings.region}"):
        facts = gather(Access(settings.region, profile), settings, now=datetime.now(UTC))
    findings = judge(settings, facts)
    missing = [finding for finding in findings if finding.state == "missing"]
    if as_json:
        emit_json(
            "infra-preflight", {"stack": stack, "region": settings.region, "ready": not missing, "findings": findings}
        )
    else:
        _tell(findings, stack, ready=not missing)
    if missing:
        raise typer.Exit(EXIT_FAILED)


def leftovers(
    stack: str = STACK,
    folder: Path | None = FOLDER,
    profile: str | None = PROFILE,
    as_json: bool = AS_JSON,
) -> None:
    """List what carries the stack's tags, what bills first. Exit code 0 when nothing bills, else 1.

    For use after `pulumi destroy`; before it, everything the stack consists of is listed.
    """
    from controller.cli.infra import stack_file
    from controller.cli.output import emit_json, told_while

    need_infra_extra()
    from infra.settings import identify

    name, region = identify(stack_file(stack, folder))
    from infra.aws.access import Access
    from infra.leftovers import leftovers as judged
    from infra.leftovers.gather import gather

    with told_while("leftovers", f"asking AWS in {region}"):
        rows = judged(gather(Access(region, profile), name))
    billing = [row for row in rows if row.bills]
    if as_json:
        emit_json("infra-leftovers", {"stack": stack, "region": region, "billing": len(billing), "leftovers": rows})
    else:
        _list(rows, billing, name, region)
    if billing:
        raise typer.Exit(EXIT_FAILED)


def need_infra_extra() -> None:
    """Refuse in one line when boto3 is missing."""
    from controller.cli.infra import need_infra

    need_infra()
    if find_spec("boto3") is None:
        raise CliError(
            "asking AWS needs the extra `infra`",
            "boto3 is not installed",
            "make infra-env, then .venv-infra/bin/spillway ..., or: pip install 'spillway[infra]'",
            EXIT_FAILED,
        )


def _tell(findings: Sequence[Finding], stack: str, *, ready: bool) -> None:
    from controller.cli.output import say

    for finding in findings:
        say(LABELS[finding.state], f"{finding.subject}: {finding.words}")
        if finding.command:
            say("fix", finding.command)
    if ready:
        say("next", f"pulumi -C infra preview --stack {stack}")


def _list(rows: Sequence[Leftover], billing: Sequence[Leftover], name: str, region: str) -> None:
    from controller.cli.output import say, table

    if rows:
        table("", ("kind", "id", "bills", "found by"), [(row.kind, row.id, row.bills or "no", row.tag) for row in rows])
    label = "warning" if billing else "ok"
    say(label, f"{len(billing)} of {len(rows)} resources of {name} in {region} bill")
