"""One running system for all tests that do not break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The default system in phase 3, as `make up` starts it, with short cold starts."""
    with running_stack(tmp_path_factory.mktemp("up"), "phase: phase3\n") as running:
        yield running
