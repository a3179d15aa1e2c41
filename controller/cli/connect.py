"""`spillway connect CLIENT`: print or write a client's setting, try it once, undo it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.connect_words import document_of, say_dry, say_trip, say_written
from controller.cli.errors import EXIT_KEY, EXIT_UNCHANGED, EXIT_USAGE, CliError

if TYPE_CHECKING:
    from controller.adapters.setting_files import Change
    from controller.cli.connect_job import Job
    from controller.cli.connect_trip import Trip

EPILOG = (
    "Examples: spillway connect    spillway connect codex    spillway connect claude-code --write    "
    "spillway connect claude-code --undo"
)
NEW_KEY = "<a new key>"


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `connect`."""
    app.command("connect", epilog=EPILOG)(connect)


def connect(
    client: str | None = typer.Argument(None, help="the client's name; without it, they are listed"),
    *,
    write: bool = typer.Option(False, "--write", help="write the setting into the client's own file"),
    undo: bool = typer.Option(
        False, "--undo", help="put that file back, byte for byte, and revoke the key made for it"
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="say what would be done, do nothing"),
    trip: bool = typer.Option(True, "--trip/--no-trip", help="ask one short question through the gateway"),
    file: Path | None = typer.Option(None, "--file", help="another file than the client's usual one"),
    url: str | None = typer.Option(None, "--url", help="the gateway, such as https://llm.example.com"),
    model: str = typer.Option("auto", "--model", help="the model that the client asks for"),
    key_file: str | None = typer.Option(None, "--key-file", help="file with the API key; - is stdin"),
    tenant: str = typer.Option("default", "--tenant", help="of the key that --write makes"),
    timeout_s: float | None = typer.Option(
        None,
        "--timeout-s",
        min=1,
        max=600,
        help="longest wait for the round trip [default: 60, or 90 for LangChain and LlamaIndex, which start slowly]",
    ),
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, "--state-dir", help="where keys and backups lie [default: .spillway]"),
    as_json: bool = typer.Option(False, "--json", help="one JSON document on stdout"),
) -> None:
    """Point a client at the gateway: print its setting or --write it, try it once, --undo it.

    The key is that of --key-file or SPILLWAY_API_KEY; without either, --write makes a new one. It goes into the written
    file alone (0600), never onto the screen.
    """
    from controller.cli.connect_clients import CLIENTS, KEY_VARIABLE
    from controller.cli.connect_job import (
        Job,
        checked_model,
        file_of,
        files_of,
        given_key,
        require_place,
        root_url_of,
        unknown_client,
    )
    from controller.cli.connect_trip import longest_s
    from controller.cli.wiring import settings_from

    if client is None:
        _list(as_json=as_json)
        return
    if write and undo:
        raise CliError("--write and --undo together", "use one of them", exit_code=EXIT_USAGE)
    known = CLIENTS.get(client)
    if known is None:
        raise unknown_client(client, list(CLIENTS))
    settings = settings_from(config, state_dir)
    job = Job(
        client=known,
        settings=settings,
        config=config,
        state_dir=state_dir,
        files=files_of(settings, is_named=state_dir is not None),
        file=file_of(known, file),
        root_url=root_url_of(url, settings),
        model=checked_model(model),
        tenant=tenant,
        timeout_s=longest_s(known) if timeout_s is None else timeout_s,
        key=given_key(key_file, os.environ.get(KEY_VARIABLE)),
        as_json=as_json,
    )
    if undo:
        _undo(job, file, dry_run=dry_run)
    elif write:
        require_place(job)
        _write(job, dry_run=dry_run, trip=trip)
    else:
        _print(job, trip=trip and not dry_run)


def _list(*, as_json: bool) -> None:
    from controller.cli.connect_clients import CLIENTS
    from controller.cli.output import emit_json, say, table

    if as_json:
        emit_json("clients", [{"name": c.name, "title": c.title, "file": c.file} for c in CLIENTS.values()])
        return
    table("", ["NAME", "CLIENT", "WRITES"], [[c.name, c.title, c.file] for c in CLIENTS.values()])
    say("next", "spillway connect NAME, then the same with --write")


def _print(job: Job, *, trip: bool) -> None:
    from controller.cli.connect_clients import KEY_VARIABLE
    from controller.cli.output import emit_json, say

    text = job.client.snippet(job.setting(f"${KEY_VARIABLE}"))
    made = _trip_aside(job) if trip else None
    if job.as_json:
        emit_json("connect", {**document_of(job, made), "setting": text, "written": False})
        return
    sys.stdout.write(text)
    if job.client.note:
        say("note", job.client.note)
    say_trip(job, made)
    writing = job.command(f"connect {job.client.name} --write")
    say("next", f"{writing} puts it into {job.file}, with a key of its own")


def _trip_aside(job: Job) -> Trip:
    """Try the setting on a file that is thrown away."""
    from controller.cli.connect_job import key_of_up

    key = job.key or key_of_up(job.settings)
    if key is None:
        raise CliError(
            "no API key to try it with",
            f"neither --key-file nor SPILLWAY_API_KEY, and no `spillway up` in {job.settings.state_dir.absolute()}",
            "export SPILLWAY_API_KEY=..., or --state-dir DIR of `spillway up`, or --no-trip",
            exit_code=EXIT_KEY,
        )
    with tempfile.TemporaryDirectory(prefix="spillway-connect-") as folder:
        aside = Path(folder) / job.file.name
        aside.touch(mode=0o600)
        aside.write_text(job.client.edit("", job.setting(key)), encoding="utf-8")
        return _trip(job, key, aside)


def _trip(job: Job, key: str, file: Path, *, key_is_new: bool = False) -> Trip:
    from controller.cli.connect_trip import await_gateway, make_trip, with_ledger
    from controller.cli.output import told_while
    from controller.cli.wiring import open_ledger_reader
    from controller.core.keys import split_key

    started_s = time.time()
    with told_while("wait", f"one round trip of {job.client.title}, at most {job.timeout_s:g} s"):
        await_gateway(job.setting(key), key_is_new=key_is_new)
        trip = make_trip(job.client, job.setting(key), file, job.timeout_s)
    parts = split_key(key)
    reader = open_ledger_reader(job.settings) if trip.request_id is None and parts is not None else None
    if reader is None or parts is None:
        return trip
    try:
        time.sleep(0.1)  # rows of the last milliseconds are written in one commit
        mine = [row for row in reader.recent(50) if row.key_id == parts[0] and row.at_s >= started_s - 1]
    finally:
        reader.close()
    served = next((row for row in mine if row.target is not None), None)
    if served is None:
        return trip
    return with_ledger(
        trip,
        request_id=served.request_id,
        target=served.target,
        model=served.model_key,
        simulated=served.simulated,
    )


def _write(job: Job, *, dry_run: bool, trip: bool) -> None:
    from controller.cli.connect_job import new_key, revoke_key
    from controller.cli.output import say

    text = _before(job)
    made = job.client.edit(
        text, job.setting(NEW_KEY if job.key is None else "<the key>")
    )  # refused before a key is made
    if dry_run:
        say_dry(job, text, made)
        return
    key, key_id = (job.key, None) if job.key is not None else new_key(job)
    old = job.files.find(job.client.name, job.file)
    there = job.file.read_bytes() if old is not None and job.file.exists() else b""
    change: Change | None = None
    try:
        content = job.client.edit(text, job.setting(key)).encode()
        change = job.files.write(job.client.name, job.file, content, at=_now(), key_id=key_id)
        made_trip = _trip(job, key, job.file, key_is_new=key_id is not None) if trip else None
    except BaseException:
        if change is not None:
            if old is None:
                job.files.undo(change)
            else:
                job.files.write(job.client.name, job.file, there, at=_now(), key_id=old.key_id)
            say("undone", f"{job.file} is as it was, since the round trip failed (--no-trip writes it all the same)")
        revoke_key(job.settings, key_id)
        raise
    if old is not None:
        revoke_key(job.settings, old.key_id)
    say_written(job, made_trip, key_id)


def _before(job: Job) -> str:
    from controller.adapters.setting_files import SettingFileError

    try:
        return job.files.before(job.client.name, job.file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CliError(f"{job.file} is not UTF-8 text", str(error)) from error
    except SettingFileError as error:
        raise CliError(str(error), fix=error.fix) from error


def _undo(job: Job, file: Path | None, *, dry_run: bool) -> None:
    from controller.adapters.setting_files import SettingFileError
    from controller.cli.connect_job import find_change, revoke_key
    from controller.cli.output import emit_json

    name, found = job.client.name, find_change(job, file)
    if found is None:
        why = f"nothing was written from {job.settings.state_dir.absolute()}"
        fix = "cd to where it was written from, or name that state folder: --state-dir DIR"
        raise CliError(f"{name} is not connected", why, fix, exit_code=EXIT_UNCHANGED)
    files, change = found
    if not dry_run:
        try:
            files.undo(change)
        except SettingFileError as error:
            raise CliError(str(error), fix=error.fix) from error
        revoke_key(job.settings, change.key_id)
    restored = "removed" if change.mode_before is None else "as it was, byte for byte"
    if job.as_json:
        document = {"client": name, "file": change.path, "restored": restored, "revoked_key_id": change.key_id}
        emit_json("connect_undo", {**document, "dry_run": dry_run})
        return
    would = "would be " if dry_run else ""
    key = "" if change.key_id is None else f"; key {change.key_id} {would}revoked"
    sys.stdout.write(f"client/{name} {would}disconnected: {change.path} {would}{restored}{key}\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
