"""Whether the libraries for simulations and plots are here: they are an extra that no serving process needs."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from controller.cli.errors import EXIT_FAILED, EXIT_USAGE, CliError

LIBRARIES = ("numpy", "scipy", "matplotlib")


def need_report_extra() -> None:
    """Refuse in one line when one of them is missing."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        why = f"{', '.join(missing)} not installed"
        raise CliError(
            "simulations need the extra `report`", why, "make env, or: pip install 'spillway[report]'", EXIT_FAILED
        )


def need_place(file: Path | None, *, is_folder: bool = False) -> None:
    """Refuse a file or folder that could not be written, before minutes of work and not after."""
    if file is None:
        return
    place = file.absolute()
    why = ""
    if not place.parent.is_dir():
        why = f"there is no folder {place.parent}"
    elif is_folder and place.exists() and not place.is_dir():
        why = "it is a file; it must be a folder"
    elif not is_folder and place.is_dir():
        why = "it is a folder; it must be a file"
    elif not os.access(place if place.exists() else place.parent, os.W_OK):
        why = "it may not be written by this user"
    if why:
        raise CliError(f"cannot write {file}", why, exit_code=EXIT_USAGE)
