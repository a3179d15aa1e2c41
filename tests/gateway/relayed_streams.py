"""Streams driven as `relay` does, and the same bytes cut into other pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from hypothesis import strategies as st

from controller.core.errors import UpstreamError
from controller.core.money import Usage


class Reader(Protocol):
    """What both stream classes are."""

    usage: Usage | None
    content_seen: bool
    done: bool
    error: UpstreamError | None

    def feed(self, chunk: bytes) -> bytes:
        """Bytes for the caller."""
        ...

    def end(self) -> bytes:
        """The last bytes for the caller."""
        ...


@dataclass(frozen=True, kw_only=True)
class Relayed:
    """What a stream came to."""

    out: bytes
    usage: Usage | None
    done: bool
    error: str | None


def relayed(stream: Reader, chunks: Sequence[bytes]) -> Relayed:
    """Drives a stream as `relay` does: until it is done, broken or out of bytes."""
    out = b""
    for chunk in chunks:
        if stream.done or stream.error is not None:
            break
        out += stream.feed(chunk)
    if stream.error is None:
        out += stream.end()
    error = stream.error
    return Relayed(out=out, usage=stream.usage, done=stream.done, error=None if error is None else repr(error))


def cut(wire: bytes, places: Sequence[int]) -> list[bytes]:
    """The same bytes in pieces."""
    bounds = [0, *sorted({place % (len(wire) + 1) for place in places}), len(wire)]
    return [wire[start:stop] for start, stop in pairwise(bounds)]


places = st.lists(st.integers(0, 10_000), max_size=8)
