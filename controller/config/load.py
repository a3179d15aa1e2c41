"""`load_settings`: the one way to get `Settings`; called by every process at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from controller.config.check import examine
from controller.config.settings import Settings
from controller.core.errors import ConfigError


def load_settings(
    file: Path | None, environ: Mapping[str, str], *, today: date, state_dir: Path | None = None
) -> Settings:
    """The checked settings, or ConfigError with every error; warnings are in `Settings.warnings`.

    Without a file the built-in configuration holds. `state_dir` (a flag) goes before SPILLWAY_STATE_DIR and the file.
    """
    settings, problems = examine(file, environ, today)
    if settings is None:
        raise ConfigError(tuple(problem for problem in problems if problem.severity == "error"))
    return settings if state_dir is None else replace(settings, state_dir=state_dir)
