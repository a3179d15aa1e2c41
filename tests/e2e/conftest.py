"""One running system for all tests that do not break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The default system in phase 3, as `make up` starts it, with short cold starts.

    Models that are asked for by name have no fallback: where one is slow for a moment, the SDK repeats the request, and
    nobody else answers it.
    """
    alone = ("llama-8b-groq", "gpt-oss-20b-groq", "gpt-4o", "claude-sonnet-5-5")
    config = f"phase: phase3\nfallbacks: {{{', '.join(f'{name}: []' for name in alone)}}}\n"
    with running_stack(tmp_path_factory.mktemp("up"), config) as running:
        yield running
