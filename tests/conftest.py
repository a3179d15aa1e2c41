"""What holds for all tests.

Logs of code under test are plain lines: rich tracebacks print every local, for minutes where worlds are large. An
example that hypothesis draws has no time limit (200 ms unless told): a busy machine would make it fail. Lines are
traced in the tests of the pure packages only, which have to reach all of them: tracing makes the others half as fast.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

pytest_plugins = ["tests.cluster.fixtures"]  # `control_plane` and `cluster`, for the tests of any folder

PURE = {"core", "catalogue", "routing", "autoscale", "replay", "modelpool"}  # their lines are measured
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


def _is_pure(item: pytest.Item) -> bool:
    return item.path.relative_to(Path(__file__).parent).parts[0] in PURE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of processes come first: a long file of them that begins last is what all other cores wait for."""
    items.sort(key=_is_pure)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Coverage, where it is asked for, looks away from whatever is no test of a pure package, fixtures and all."""
    coverage = getattr(item.config.pluginmanager.getplugin("_cov"), "cov_controller", None)
    if coverage is None or _is_pure(item):
        return (yield)
    coverage.pause()
    try:
        return (yield)
    finally:
        coverage.resume()


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
