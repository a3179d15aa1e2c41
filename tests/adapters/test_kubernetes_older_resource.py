"""A controller on a cluster whose ModelPool resource is of an older release, which lacks fields of its status."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.adapters.cluster_world import Controller, behind, condition, pool_with_pods, status_of
from tests.adapters.fake_apiserver import running_apiserver
from tests.adapters.kubernetes_world import until

QUIET_S = 2.0
TICKS_S = 0.2


async def test_fields_that_an_older_resource_lacks_are_left_out(tmp_path: Path) -> None:
    """The status is written all the same, and no more often than ever, though it never is what was to be said."""
    async with running_apiserver() as api, behind(api):
        api.undeclared |= {("replicas", "missing"), ("coldStartSeconds",), ("routing", "since")}
        await pool_with_pods(api, "p")
        await pool_with_pods(api, "q")
        one = Controller(api.access(), tmp_path, "one")
        one.start()
        for name in ("p", "q"):
            await until(lambda name=name: condition(api, name, "Ready").get("status") == "True")  # type: ignore[misc]
            said = status_of(api, name)
            assert said["replicas"]["ready"] == 1
            assert "missing" not in said["replicas"]
            assert "coldStartSeconds" not in said
            assert said["routing"]["mode"] == "Local"
        before = len(status_writes(api.writes()))
        await asyncio.sleep(QUIET_S)
        assert len(status_writes(api.writes())) - before < QUIET_S / TICKS_S / 2
        await one.kill()


def status_writes(calls: list[tuple[str, str]]) -> list[str]:
    return [path for _, path in calls if path.endswith("/status")]
