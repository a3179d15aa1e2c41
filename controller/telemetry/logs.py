"""Logs: one event per line with fields; JSON off a terminal. Never prompts, never keys."""

from __future__ import annotations

import sys

import structlog


def configure_logs(*, process: str, as_json: bool | None = None) -> None:
    """Afterwards every logger of this process writes to stderr, with UTC time, level and the process name."""
    machine = not sys.stderr.isatty() if as_json is None else as_json
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if machine else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
