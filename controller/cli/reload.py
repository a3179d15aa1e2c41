"""Reads the configuration again when its file has changed or SIGHUP has come, while requests run.

A file with an error leaves everything as it is, and says so: a metric and one log line with all that is wrong.
Used by `spillway gateway` and `spillway controller`, each for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from controller.config.changes import Adoption
from controller.core.errors import ConfigError, SpillwayError
from controller.telemetry.config_metrics import ConfigMetrics, ReloadResult

log = structlog.get_logger()

T = TypeVar("T")

LOOK_S = 0.5
PROBLEMS_TOLD = 20


class Reload(Generic[T]):
    """`load` reads and checks, off the event loop; `take` hands the result to the process; `has_changed` looks."""

    def __init__(
        self,
        load: Callable[[], T],
        take: Callable[[T], Adoption],
        *,
        has_changed: Callable[[], bool] = lambda: False,
        look_s: float = LOOK_S,
    ) -> None:
        self._load = load
        self._take = take
        self._has_changed = has_changed
        self._look_s = look_s
        self._asked = asyncio.Event()
        self.metrics = ConfigMetrics()

    def ask(self) -> None:
        """Afterwards the configuration is read again soon, whether its file has changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._look_s):
                    await self._asked.wait()
            except TimeoutError:
                pass
            if self._asked.is_set() or self._has_changed():
                self._asked.clear()
                self.metrics.reloaded(await self._reload())

    async def _reload(self) -> ReloadResult:
        try:
            adoption = self._take(await asyncio.to_thread(self._load))
        except ConfigError as error:
            told = [str(problem) for problem in error.problems[:PROBLEMS_TOLD]]
            log.error("config_refused", problems=told, count=len(error.problems))
            return ReloadResult.REFUSED
        except (SpillwayError, OSError) as error:
            log.error("config_refused", problems=[str(error)], count=1)
            return ReloadResult.REFUSED
        except Exception:  # a defect ends its reload, not the process: requests go on by the old configuration
            log.exception("config_refused", problems=["an internal error"], count=1)
            return ReloadResult.REFUSED
        if adoption.kept:
            log.warning("config_kept", settings=adoption.kept, reason="takes effect when the process starts again")
        if not adoption.changed:
            return ReloadResult.UNCHANGED
        log.info("config_applied", changed=adoption.changed, warnings=len(adoption.settings.warnings))
        return ReloadResult.APPLIED
