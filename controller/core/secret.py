"""A text that is not told by accident: keys of providers and engines, the URL of a database with its password."""

from __future__ import annotations

import hmac
from typing import NoReturn

HIDDEN = "Secret(***)"


class Secret:
    """Shows itself in `reveal()` and nowhere else: not as text, in a format, a log, a traceback, or a copy on disk."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text; asked for where it goes out, and kept by nobody."""
        return self._text

    def __repr__(self) -> str:
        """That there is one."""
        return HIDDEN

    def __format__(self, spec: str) -> str:
        """The same, whatever the format."""
        return HIDDEN

    def __bool__(self) -> bool:
        """Whether it has any text."""
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Whether both have the same text, in constant time."""
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        """Of its text, so that secrets can be told apart in a mapping."""
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        """It is not written down."""
        raise TypeError("a secret is not pickled")
