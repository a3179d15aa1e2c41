"""Tests that run the program without an engine: the SDK warns of its own old names when it is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

OF_THE_SDK = "ignore:.* has been deprecated:DeprecationWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those warnings are no errors in this folder, and a program of 200 resources is run in some tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(120))
            item.add_marker(pytest.mark.filterwarnings(OF_THE_SDK))
