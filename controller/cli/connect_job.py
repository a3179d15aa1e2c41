"""What `spillway connect` was asked for, checked: which client, which file, which gateway, whose key."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from controller.cli.errors import EXIT_KEY, EXIT_USAGE, CliError
from controller.cli.keys import mistyped
from controller.cli.pool_words import command
from controller.core.keys import is_mistyped

if TYPE_CHECKING:
    from controller.adapters.setting_files import Change, SettingFiles
    from controller.cli.connect_clients import Client, Setting
    from controller.config.settings import Settings

MODEL_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@:-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What was asked for, checked. `key` None: none is known yet. `config` and `state_dir` as they were given."""

    client: Client
    settings: Settings
    config: Path | None
    state_dir: Path | None
    files: SettingFiles
    file: Path
    root_url: str
    model: str
    tenant: str
    timeout_s: float
    key: str | None
    as_json: bool

    def command(self, words: str) -> str:
        """A command as it must be typed for this system."""
        return command(words, self.config, self.state_dir)

    def setting(self, key: str) -> Setting:
        """What goes into the client's settings."""
        from controller.cli.connect_clients import Setting

        return Setting(root_url=self.root_url, model=self.model, key=key)


def checked_model(model: str) -> str:
    """The name, if it can stand in every settings file as it is."""
    if MODEL_PATTERN.fullmatch(model):
        return model
    raise CliError(f"--model '{model}' is not allowed", "letters, digits and . _ / @ : -", exit_code=EXIT_USAGE)


def unknown_client(name: str, known: list[str]) -> CliError:
    """With what it may have been meant to be."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    why = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return CliError(f"no client '{name}'", why, "spillway connect", exit_code=EXIT_USAGE)


def file_of(client: Client, given: Path | None) -> Path:
    """The file of the client's settings: the one given, else where the client itself looks."""
    if given is not None:
        return given.absolute()
    folder = os.environ.get(client.folder_variable) if client.folder_variable else None
    if folder:
        return Path(folder).absolute() / Path(client.file).name
    return Path(client.file).expanduser().absolute()


def root_url_of(url: str | None, settings: Settings) -> str:
    """The gateway's address without `/v1`: the one given, else that of this installation."""
    if url is None:
        host = settings.gateway.host
        host = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host
        return f"http://{f'[{host}]' if ':' in host else host}:{settings.gateway.port}"
    if not re.fullmatch(r"https?://[^\s\"'@?#]+", url):
        raise CliError(
            f"--url '{url}' is not usable",
            "it must be http(s)://HOST[:PORT], without a key in it",
            exit_code=EXIT_USAGE,
        )
    return url.rstrip("/").removesuffix("/v1")


def given_key(key_file: str | None, variable: str | None) -> str | None:
    """The key from the file, stdin or the environment; None when there is none."""
    if key_file is None:
        return _checked_key(variable.strip(), "SPILLWAY_API_KEY") if variable and variable.strip() else None
    try:
        text = sys.stdin.read() if key_file == "-" else Path(key_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"--key-file {key_file} cannot be read", str(error), exit_code=EXIT_KEY) from error
    return _checked_key(text.strip(), f"--key-file {key_file}")


def _checked_key(text: str, where: str) -> str:
    if is_mistyped(text):
        raise mistyped(where)
    if re.fullmatch(r"[!-~]{1,200}", text) and not re.search(r"[\"'\\$#`]", text):
        return text
    raise CliError(f"{where} does not hold a key", "it must be one word such as sp-...", exit_code=EXIT_KEY)


def files_of(settings: Settings, *, is_named: bool) -> SettingFiles:
    """Where what files held before is kept: the state folder; the user's own where there is none and none was named."""
    from controller.cli.state import has_state
    from controller.cli.wiring import open_setting_files, open_user_setting_files

    if is_named or has_state(settings):
        return open_setting_files(settings)
    return open_user_setting_files(os.environ)


def require_place(job: Job) -> None:
    """CliError when --write would have to make a state folder: without a key given, or in one that was named."""
    from controller.cli.state import has_state, no_state

    if job.key is None and not job.settings.pepper_path.exists():
        or_else = "; with a key of a gateway elsewhere: --key-file FILE and --url URL"
        raise no_state(
            job.settings, "a new key made there would be known to no gateway", or_else=or_else, exit_code=EXIT_KEY
        )
    if job.state_dir is not None and not has_state(job.settings):
        raise no_state(job.settings)


def find_change(job: Job, given: Path | None) -> tuple[SettingFiles, Change] | None:
    """The change to undo and where it is kept: of this file, or the client's newest when no file was given."""
    from controller.cli.wiring import open_user_setting_files

    name = job.client.name
    for files in (job.files, open_user_setting_files(os.environ)):
        change = files.find(name, job.file) or (files.latest(name) if given is None else None)
        if change is not None:
            return files, change
    return None


def new_key(job: Job) -> tuple[str, str]:
    """A key made for this client: its text and its public id."""
    from controller.cli.keys import checked_name
    from controller.cli.state import open_known_keys

    keys = open_known_keys(job.settings)
    try:
        name = f"connect-{job.client.name}"
        text, record = keys.create(checked_name("tenant", job.tenant), name, now_s=time.time())
    finally:
        keys.close()
    return text, record.public_id


def revoke_key(settings: Settings, key_id: str | None) -> None:
    """Afterwards the key that was made is refused; nothing to do when none was."""
    from controller.cli.state import open_known_keys

    if key_id is None:
        return
    keys = open_known_keys(settings)
    try:
        keys.revoke(key_id, now_s=time.time())
    finally:
        keys.close()


def key_of_up(settings: Settings) -> str | None:
    """The key that `spillway up` made in this state folder."""
    file = settings.state_dir / "up.key"
    return file.read_text().strip() if file.exists() else None
