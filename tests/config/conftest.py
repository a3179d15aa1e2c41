"""Reads a text as spillway.yaml, in an environment with every key, on a fixed day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from config_files import KEYS, TODAY, Check, Load

from controller.config.check import check
from controller.config.load import load_settings
from controller.config.settings import Settings
from controller.core.errors import Problem


@pytest.fixture
def problems_of(tmp_path: Path) -> Check:
    """All that is wrong with a text, told of a file named spillway.yaml."""

    def run(text: str, environ: Mapping[str, str] | None = None, today: date = TODAY) -> tuple[Problem, ...]:
        file = tmp_path / "spillway.yaml"
        file.write_text(text, encoding="utf-8")
        return check(file, {**KEYS, **(environ or {})}, today)

    return run


@pytest.fixture
def settings_of(tmp_path: Path) -> Load:
    """The settings that a text makes."""

    def run(text: str = "", environ: Mapping[str, str] | None = None, today: date = TODAY) -> Settings:
        file = tmp_path / "spillway.yaml"
        file.write_text(text, encoding="utf-8")
        return load_settings(file, {**KEYS, **(environ or {})}, today=today)

    return run
