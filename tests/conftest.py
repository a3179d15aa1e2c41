"""What holds for all tests.

Logs of code under test are plain lines: rich tracebacks print every local, for minutes where worlds are large. An
example that hypothesis draws has no time limit (200 ms unless told): a busy machine would make it fail.
"""

from __future__ import annotations

import asyncio
import inspect
import sys

import pytest
import structlog
from hypothesis import settings

pytest_plugins = ["tests.cluster.fixtures"]  # `control_plane` and `cluster`, for the tests of any folder

structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # of the moment: stdout is for data
)

settings.register_profile("untimed", parent=settings(), deadline=None)  # else as before: `ci` where CI is set
settings.load_profile("untimed")


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """An async test runs in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = pyfuncitem._fixtureinfo.argnames  # as pytest itself does
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True
