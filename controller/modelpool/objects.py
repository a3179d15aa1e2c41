"""Reading plain JSON of the Kubernetes API; what is missing or of another kind is None or empty, never an error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

Json = Mapping[str, object]
_EMPTY: Json = {}


def part(source: Json, *path: str) -> Json:
    """The mapping at `path`; an empty one where there is none."""
    found: object = source
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else _EMPTY


def text(source: Json, name: str) -> str:
    """The text under `name`; "" where there is none."""
    found = source.get(name)
    return found if isinstance(found, str) else ""


def number(source: Json, name: str) -> int | None:
    """The integer under `name`; None where there is none."""
    found = source.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def entries(source: Json, name: str) -> tuple[object, ...]:
    """The list under `name`; an empty one where there is none."""
    found = source.get(name)
    return tuple(found) if isinstance(found, list | tuple) else ()


def name_of(source: Json) -> str:
    """`metadata.name`."""
    return text(part(source, "metadata"), "name")


def generation_of(source: Json) -> int:
    """`metadata.generation`; 0 where there is none."""
    return number(part(source, "metadata"), "generation") or 0


def instant_text(unix_s: float) -> str:
    """The second as the API writes it."""
    return datetime.fromtimestamp(int(unix_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(words: str) -> float | None:
    """Unix seconds of an RFC 3339 date-time; None where it is none."""
    try:
        found = datetime.fromisoformat(words.upper())
    except ValueError:
        return None
    return None if found.tzinfo is None else found.timestamp()
