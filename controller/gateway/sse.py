"""Splits an event stream into the data of its events, however the bytes are cut; LF, CR and CRLF line ends.

The common case, a read that holds whole LF-ended events of one `data:` line each, is recognised so that its bytes can
be relayed untouched.
"""

from __future__ import annotations

from controller.config.settings import CAPS

TOO_LARGE = f"an event is larger than {CAPS.event_bytes} bytes"
_BOM = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """An event over the cap; the stream cannot be trusted any more."""


class Splitter:
    """Feed it bytes, get the data of every event that is complete."""

    __slots__ = ("_buffer", "_data", "_data_bytes", "_fresh", "_skip_lf")

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._fresh = True
        self._skip_lf = False

    @property
    def is_between_events(self) -> bool:
        """Nothing of an unfinished event is held."""
        return not self._buffer and not self._data

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that this chunk completes, multi-line data joined by LF."""
        data = self._buffer + chunk if self._buffer else chunk
        if self._fresh:
            if len(data) < 3 and _BOM.startswith(data):
                self._buffer = data
                return []
            self._fresh = False
            data = data.removeprefix(_BOM)
        if self._skip_lf and data:
            self._skip_lf = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        self._buffer = lines.pop()
        events: list[bytes] = []
        for line in lines:
            self._line(line, events)
        if len(self._buffer) + self._data_bytes > CAPS.event_bytes:
            raise EventTooLarge(TOO_LARGE)
        return events

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                if self._data_bytes > CAPS.event_bytes:  # its last bytes and its end came in one read
                    raise EventTooLarge(TOO_LARGE)
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
                self._data_bytes = 0
            return
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._data.append(value)
            self._data_bytes += len(value) + 1  # with its line end, so that empty lines count too
        # Comments and the fields event, id and retry carry nothing that callers of this API need.


def encode(data: bytes) -> bytes:
    """The event on the wire, one `data:` line per line."""
    if b"\n" in data:
        return b"".join(b"data: " + line + b"\n" for line in data.split(b"\n")) + b"\n"
    return b"data: " + data + b"\n\n"
