"""The lines of a trace file, plain or gzip, as text with their numbers; whatever the bytes, nothing but TraceError."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from controller.core.errors import TraceError

LINE_BYTES_MAX = 64 * 1024 * 1024  # a ServeGen dataset is one line
_GZIP = b"\x1f\x8b"

Line = tuple[int, str]


def lines(file: BinaryIO, line_bytes_max: int = LINE_BYTES_MAX) -> Iterator[Line]:
    """Number and text of every line that is not blank, counted from 1, without its end and a byte order mark."""
    head = file.read(len(_GZIP))
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if head == _GZIP else file
    number = 0
    while True:
        number += 1
        try:
            raw = stream.readline(line_bytes_max + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise TraceError(f"line {number}: the gzip file is damaged ({error}); it must be whole") from error
        if not raw:
            return
        if len(raw) > line_bytes_max:
            raise TraceError(f"line {number}: it has more than {line_bytes_max} bytes; at most so many are allowed")
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            wrong = error.object[error.start]
            raise TraceError(f"line {number}: it has the byte 0x{wrong:02x}; it must be UTF-8 text") from error
        if text:
            yield number, text
