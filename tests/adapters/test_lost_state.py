"""A state folder that is removed under a running controller means unknown, not zero."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from controller.adapters.replica_records import ReplicaRecords, StateLost
from tests.adapters.test_processes import POOL, TinyProcesses, settings


def test_nothing_is_listed_or_started_once_the_records_are_gone(tmp_path: Path) -> None:
    """Listing refuses, so a tick holds: it must not take lost records for lost replicas and start new ones."""
    state_dir = tmp_path / "state"

    async def scene() -> None:
        platform = TinyProcesses(settings(state_dir))
        try:
            assert await platform.list_replicas(POOL) == ()
            shutil.rmtree(state_dir)
            with pytest.raises(StateLost, match="nothing is started or stopped"):
                await platform.list_replicas(POOL)
        finally:
            await platform.close()

    asyncio.run(scene())


def test_a_new_controller_begins_with_an_empty_folder(tmp_path: Path) -> None:
    """Starting on a state folder makes what it needs there."""
    assert ReplicaRecords(tmp_path / "new").load() == ()
