"""Single values of recorded traffic, checked: TraceError names the line, the value and what is allowed.

Called by every reader of trace files. Standard library only: `spillway load` reads traces without an array library.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache

from controller.core.errors import TraceError

TOKENS_MAX = 10_000_000
TIME_S_MAX = 1e11  # year 5138
RATE_MAX = 1e9
CV_MAX = 1e6
_SHOWN = 60  # characters of a wrong value


def shown(value: object) -> str:
    """The value as messages show it, cut where it is long."""
    text = repr(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def tokens(place: str, column: str, text: str) -> int:
    """A count of tokens."""
    plain = text.strip()
    value = int(plain) if plain.isdecimal() and len(plain) <= 18 else -1
    if not 0 <= value <= TOKENS_MAX:
        raise TraceError(f"{place}: {column} must be a whole number from 0 to {TOKENS_MAX}, not {shown(text)}")
    return value


def number(place: str, column: str, text: str, most: float) -> float:
    """A finite number that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= most:
        raise TraceError(f"{place}: {column} must be a number from 0 to {most:g}, not {shown(text)}")
    return value


def instant_s(place: str, text: str) -> float:
    """Unix seconds of a time such as 2023-11-16 18:17:03.9799600 or 2024-05-10 00:00:00.009930+00:00; UTC if unsaid."""
    plain = text.strip().removesuffix("Z").removesuffix("+00:00")
    minute, second = plain[:16], plain[17:]
    whole, point, fraction = second.partition(".")
    if (
        plain[16:17] == ":"
        and len(whole) == 2
        and whole.isdecimal()
        and int(whole) < 60
        and (fraction.isdecimal() or not point)
        and len(fraction) <= 18
    ):
        at_s = _minute_s(minute)
        if at_s is not None:
            return at_s + float(second)
    raise TraceError(
        f"{place}: TIMESTAMP must be like 2023-11-16 18:17:03.9799600 in UTC, a time from 1970 on, not {shown(text)}"
    )


@lru_cache(maxsize=4096)
def _minute_s(text: str) -> float | None:
    """Unix seconds of a minute. Remembered: millions of rows share few thousands of them."""
    if not text.isascii():
        return None
    try:
        at_s = datetime.strptime(text.replace("T", " ", 1), "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return at_s if at_s >= 0 else None
