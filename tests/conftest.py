"""Logs of code under test are plain lines: rich tracebacks print every local, for minutes where worlds are large."""

from __future__ import annotations

import sys

import structlog

structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # of the moment: stdout is for data
)
