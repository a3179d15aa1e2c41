"""Whether Spillway has run here. `up`, `demo`, `gateway`, `controller` and `keys create --init` make a state folder; no
other command does.

A folder made by mistake would hold keys that no gateway knows and pins that no controller reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.cli.errors import EXIT_FAILED, CliError

if TYPE_CHECKING:
    from controller.adapters.key_store import KeyTable
    from controller.config.settings import Settings

MARKS = ("engine.key", "spillway.db", "run")  # besides the pepper, which every key is stored under


def has_state(settings: Settings) -> bool:
    """Whether a gateway or a controller has run on the state folder."""
    return any(path.exists() for path in (settings.pepper_path, *(settings.state_dir / mark for mark in MARKS)))


def require_state(settings: Settings) -> None:
    """CliError when nothing has run on the state folder."""
    if not has_state(settings):
        raise no_state(settings)


def require_given_pepper(settings: Settings) -> None:
    """CliError when the file that `SPILLWAY_PEPPER_FILE` names is missing: no other gateway would know a new one."""
    if settings.pepper_file is not None and not settings.pepper_file.exists():
        raise CliError(
            f"no pepper in {settings.pepper_file}",
            "SPILLWAY_PEPPER_FILE names it, so it is shared by all gateways and none of them makes it",
            "head -c 32 /dev/urandom > pepper, and put it there (on Kubernetes: key `pepper` of the Secret)",
        )


def open_known_keys(settings: Settings, *, begin: str = "spillway up") -> KeyTable:
    """The keys of the gateway that runs on the state folder; CliError when none has. `begin`: how one would."""
    from controller.cli.wiring import open_keys

    require_given_pepper(settings)
    if not settings.pepper_path.exists():
        raise no_state(settings, "no gateway has run on it", begin=begin)
    return open_keys(settings)


def begin_keys(settings: Settings) -> tuple[KeyTable, bool]:
    """The keys of the state folder, and whether they begin here: what a gateway needs for them is made if it lacks."""
    from controller.cli.wiring import has_keys, open_keys

    require_given_pepper(settings)
    pepper = settings.pepper_path
    begins = not pepper.exists()
    if begins and has_keys(settings):
        raise CliError(
            f"{pepper.absolute()} is missing",
            "the database has keys, stored under the pepper of other gateways, who would not know one made here",
            "copy their pepper files to this state folder",
        )
    try:
        return open_keys(settings), begins
    except OSError as error:
        raise CliError(
            f"cannot write the state folder {settings.state_dir}", error.strerror or "", "choose another: --state-dir"
        ) from error


def no_state(
    settings: Settings,
    why: str = "nothing has run on it",
    *,
    or_else: str = "",
    begin: str = "spillway up",
    exit_code: int = EXIT_FAILED,
) -> CliError:
    """The refusal, with where to look instead."""
    elsewhere = f"cd to where `spillway up` runs, or name its state folder: --state-dir DIR{or_else}"
    fix = f"{elsewhere}; to begin here: {begin}"
    return CliError(f"no Spillway state in {settings.state_dir.absolute()}", why, fix, exit_code=exit_code)
