"""`spillway keys`: make, list and revoke the API keys that callers of the gateway show."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster_options import also_on_cluster
from controller.cli.errors import EXIT_KEY, EXIT_UNCHANGED, EXIT_USAGE, CliError

if TYPE_CHECKING:
    from controller.adapters.key_store import KeyTable
    from controller.core.keys import KeyRecord

CONFIG = typer.Option(None, "--config", "-c", help="spillway.yaml to use")
STATE_DIR = typer.Option(None, "--state-dir", help="where keys and ledger lie [default: .spillway]")
AS_JSON = typer.Option(False, "--json", help="one JSON document on stdout")

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
REVOKED_WITHIN_S = 5


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `keys create|list|revoke|new-pepper`."""
    keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)
    keys.command("create", epilog="Example: spillway keys create laptop --tenant acme")(create)
    keys.command("list", epilog="Example: spillway keys list --json")(list_keys)
    keys.command("new-pepper", epilog="Example: spillway keys new-pepper")(new_pepper)
    keys.command("revoke", epilog="Example: spillway keys revoke 3f9c2a7be01d --yes")(revoke)
    app.add_typer(keys, name="keys")


def _open(config: Path | None, state_dir: Path | None) -> KeyTable:
    from controller.cli.state import open_known_keys
    from controller.cli.wiring import settings_from

    return open_known_keys(settings_from(config, state_dir))


def checked_name(what: str, value: str) -> str:
    """The value, if it may name a key or a tenant."""
    if NAME_PATTERN.fullmatch(value):
        return value
    raise CliError(
        f"{what} '{value}' is not allowed",
        "must be 1 to 64 letters, digits or . _ @ -, and begin with a letter or a digit",
        exit_code=EXIT_USAGE,
    )


def _instant(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(record: KeyRecord) -> dict[str, object]:
    return {
        "public_id": record.public_id,
        "tenant": record.tenant,
        "name": record.name,
        "created_at": _instant(record.created_at_s),
        "revoked_at": _instant(record.revoked_at_s),
        "pepper": record.pepper_id,
    }


@also_on_cluster("cluster_gateway:create_key", by_database=True)
def create(
    name: str = typer.Argument("default", help="who or what will use it"),
    tenant: str = typer.Option("default", help="whose budget it draws on"),
    *,
    init: bool = typer.Option(False, "--init", help="before any gateway has run: make the state folder it will use"),
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
    as_json: bool = AS_JSON,
) -> None:
    """Make a key. Its text is shown this once and stored nowhere."""
    from controller.cli.output import emit_json, say
    from controller.cli.state import begin_keys, open_known_keys
    from controller.cli.wiring import settings_from

    checked_name("name", name)
    checked_name("tenant", tenant)
    settings = settings_from(config, state_dir)
    begun = "spillway up, or spillway keys create --init"
    keys, begins = begin_keys(settings) if init else (open_known_keys(settings, begin=begun), False)
    try:
        text, record = keys.create(tenant, name, now_s=time.time())
    finally:
        keys.close()
    if as_json:
        emit_json("key", {"key": text, **_shown(record)})
        return
    sys.stdout.write(text + "\n")  # alone on stdout: KEY=$(spillway keys create)
    say("note", "keep it now, it cannot be shown again")
    if begins:
        say("note", f"{settings.state_dir.absolute()} was made: gateways that run on it know the key")
    say("next", f"export OPENAI_API_KEY=<the key>    Undo: spillway keys revoke {record.public_id}")


@also_on_cluster("cluster_gateway:list_keys", by_database=True)
def list_keys(config: Path | None = CONFIG, state_dir: Path | None = STATE_DIR, as_json: bool = AS_JSON) -> None:
    """List every key ever made, revoked ones too; never their text."""
    from controller.cli.output import emit_json, say, table
    from controller.cli.state import open_known_keys
    from controller.cli.tenant_words import limit_words
    from controller.cli.wiring import settings_from
    from controller.core.tenants import policy_of

    settings = settings_from(config, state_dir)
    keys = open_known_keys(settings)
    try:
        records = keys.list()
    finally:
        keys.close()
    policies = {record.tenant: policy_of(settings.tenants, record.tenant) for record in records}
    if as_json:
        emit_json("keys", [{**_shown(record), "limits": policies[record.tenant]} for record in records])
        return
    if not records:
        say("next", "no keys yet: spillway keys create NAME --tenant TENANT")
        return
    rows = [
        [
            record.public_id,
            record.tenant,
            record.name,
            _instant(record.created_at_s) or "",
            _state(record),
            limit_words(policies[record.tenant]),
        ]
        for record in records
    ]
    table("", ["ID", "TENANT", "NAME", "CREATED", "STATE", "TENANT'S LIMITS"], rows)


def _state(record: KeyRecord) -> str:
    return "good" if record.revoked_at_s is None else "revoked"


@also_on_cluster("cluster_gateway:revoke_key", by_database=True)
def revoke(
    key_id: str = typer.Argument(..., help="the ID that `spillway keys list` shows"),
    *,
    yes: bool = typer.Option(False, "--yes", "-y", help="do not ask"),
    error_unchanged: bool = typer.Option(False, "--error-unchanged", help="exit 3 if it was revoked already"),
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
    as_json: bool = AS_JSON,
) -> None:
    """Revoke a key for good: running gateways refuse it within 5 seconds."""
    from controller.cli.output import emit_json, say

    keys = _open(config, state_dir)
    try:
        record = keys.find(key_id)
        if record is None:
            raise _unknown(keys, key_id)
        if not yes and sys.stdin.isatty():
            typer.confirm(f"revoke key {key_id} of {record.tenant} ({record.name}) for good?", abort=True, err=True)
        changed = keys.revoke(key_id, now_s=time.time())
        record = keys.find(key_id) or record
    finally:
        keys.close()
    if as_json:
        emit_json("key", {**_shown(record), "changed": changed})
    else:
        sys.stdout.write(f"key/{key_id} {'revoked' if changed else 'was revoked already'}\n")
        if changed:
            say("note", f"running gateways refuse it within {REVOKED_WITHIN_S} s")
    if not changed and error_unchanged:
        raise typer.Exit(EXIT_UNCHANGED)


@also_on_cluster("cluster_gateway:new_pepper", by_database=True)
def new_pepper(config: Path | None = CONFIG, state_dir: Path | None = STATE_DIR, as_json: bool = AS_JSON) -> None:
    """Make the pepper that new keys are stored under from now on; the keys that there are stay good.

    When a pepper may be known to others: make a new one, make new keys, revoke the old ones. Gateways on other
    machines need the new file before its keys are used there.
    """
    from controller.cli.output import emit_json, say

    keys = _open(config, state_dir)
    try:
        number, file = keys.peppers.add()
    except OSError as error:
        keys.close()
        raise CliError(
            "the folder of the pepper cannot be written",
            error.strerror or str(error),
            "where SPILLWAY_PEPPER_FILE names it (a Secret on Kubernetes): add the next one there as `pepper.2`",
        ) from error
    try:
        older = sum(1 for record in keys.list() if record.revoked_at_s is None)
    finally:
        keys.close()
    if as_json:
        emit_json("pepper", {"pepper": number, "file": str(file), "live_keys_under_older": older})
        return
    sys.stdout.write(f"pepper/{number} made\n")
    say("note", f"in {file}: copy it to the state folder of every gateway that shares the database")
    say("next", f"{older} live keys are under older ones: make new keys, then spillway keys revoke")


def mistyped(where: str) -> CliError:
    """The refusal of a key whose check digits are not its own."""
    why = "the last 8 characters of the key do not fit the others"
    return CliError(f"{where} has a typing error", why, _LIST, exit_code=EXIT_KEY)


def _unknown(keys: KeyTable, key_id: str) -> CliError:
    from difflib import get_close_matches

    if key_id.startswith("sp-"):  # never repeat what may be a whole secret
        return CliError("that is a key, not its ID", "the ID is the part between the first two dashes", _LIST)
    close = get_close_matches(key_id, [record.public_id for record in keys.list()], n=1)
    why = f"did you mean {close[0]}?" if close else "no key has this ID"
    return CliError(f"no key '{key_id}'", why, _LIST)


_LIST = "spillway keys list"
