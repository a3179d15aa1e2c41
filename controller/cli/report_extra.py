"""Whether the libraries for simulations and plots are here: they are an extra that no serving process needs."""

from __future__ import annotations

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


def need_folder(file: Path | None) -> None:
    """Refuse a file that could not be written, before minutes of work and not after."""
    if file is not None and not file.absolute().parent.is_dir():
        raise CliError(f"cannot write {file}", f"there is no folder {file.absolute().parent}", exit_code=EXIT_USAGE)
