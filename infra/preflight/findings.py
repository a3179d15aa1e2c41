"""One thing preflight found, in words, with the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "warning", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`missing` keeps `pulumi up` from ending well, `unknown` could not be asked; a person types `command`."""

    state: State
    subject: str
    words: str
    command: str = ""
