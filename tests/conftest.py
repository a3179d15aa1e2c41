"""What holds for all tests.

Logs of code under test are plain lines: rich tracebacks print every local, for minutes where worlds are large. An
example that hypothesis draws has no time limit (200 ms unless told): a busy machine would make it fail.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

pytest_plugins = ["tests.cluster.fixtures"]  # `control_plane` and `cluster`, for the tests of any folder

OF_PROCESSES = {"security", "e2e", "engine_sim"}
LOGS: dict[str, Any] = {
    "processors": [
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ],
    "logger_factory": lambda *_: structlog.PrintLogger(sys.stderr),  # of the moment: stdout is for data
}
structlog.configure(**LOGS)

settings.register_profile("untimed", parent=settings(), deadline=None)  # else as before: `ci` where CI is set
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start processes come first: a long file of them that begins last is what all other cores wait for."""
    items.sort(key=lambda item: item.path.relative_to(Path(__file__).parent).parts[0] not in OF_PROCESSES)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """An async test runs in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = pyfuncitem._fixtureinfo.argnames  # as pytest itself does
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """A command that a test runs in this process sets up logs of its own, on a stderr that is closed after it."""
    yield
    if structlog.get_config()["logger_factory"] is not LOGS["logger_factory"]:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        structlog.configure(**LOGS)
