"""One running system for all tests that do not break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The default system in phase 3, as `make up` starts it, with short cold starts; one model has no fallback."""
    config = "phase: phase3\nfallbacks: {llama-8b-groq: [], gpt-oss-20b-groq: []}\n"
    with running_stack(tmp_path_factory.mktemp("up"), config) as running:
        yield running
