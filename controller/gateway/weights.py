"""What a JSON body will weigh once parsed: ten MiB of empty objects make a quarter of a gigabyte of them.

Bytes that mean something to JSON inside texts do not count, so a long prompt of program code is no bomb.
"""

from __future__ import annotations

import re

LIGHT_BYTES = 512 * 1024  # not worth a look: prompts of 220 KB are on the hot path
TEXT = 4  # keys too
AT_ONCE = 4096  # texts: a bomb is known after a few rounds of them
CONTAINER = 10  # an object or list, where a number is 1
# Possessive, and content with a text that does not end: one pass, whatever the bytes.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def _weight(data: bytes) -> int:
    return data.count(b",") + CONTAINER * (data.count(b"{") + data.count(b"["))


def is_bearable(body: bytes, most: int) -> bool:
    """Whether its values weigh at most so much. Looks into texts only where all bytes together would be too many."""
    if len(body) <= LIGHT_BYTES or _weight(body) <= most:
        return True
    weight, place, bare = 0, 0, []
    for text in _TEXT.finditer(body):
        start, end = text.span()
        bare.append(body[place:start])
        place = end
        if len(bare) == AT_ONCE:
            weight += _weight(b"".join(bare)) + TEXT * AT_ONCE
            bare.clear()
            if weight > most:
                return False
    return weight + _weight(b"".join(bare)) + _weight(body[place:]) <= most
