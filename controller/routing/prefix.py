"""Names the beginnings of a prompt, so that whoever begins alike can be sent where that beginning is computed already.

One function for all dialects, over the texts in order. A name is the same in every gateway and after a restart. Names
of different tenants never meet: what one tenant sends must not show in the timing of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from zlib import crc32

Prefix = tuple[int, int]  # its name, and its length in bytes or characters, whichever is cheap to know

# A beginning ends with each text (system prompt, first turn, the whole conversation so far) and, within a long text, at
# these places: prompts made of a long template and little else are alike up to some point inside.
BLOCK_ENDS_CHARS = (2_048, 8_192, 32_768)
TAIL_CHARS = 256  # of what is beyond the last block only the end and the length count
FIRST_KEPT = 3
LAST_KEPT = 6  # the conversation so far without its last answer and question, with room for parts
_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: spreads low bits over high ones


@lru_cache(maxsize=4096)
def _seed(tenant: str) -> int:
    return int.from_bytes(blake2b(tenant.encode(), digest_size=8).digest())


def prefixes(tenant: str, texts: Sequence[str]) -> tuple[Prefix, ...]:
    """The beginnings of a prompt, shortest first; the last one is all of it. At most nine, none for no texts.

    A name covers all before it. Not for integrity: two texts with one checksum are taken for the same, which costs a
    request a colder replica and nothing else.
    """
    name, length = _seed(tenant), 0
    found: list[Prefix] = []
    for text in texts:
        size = len(text)
        if size <= BLOCK_ENDS_CHARS[0]:
            data = text.encode("utf-8", "surrogatepass")
            name = ((name ^ crc32(data)) * _ODD + size) & _MASK
        else:
            name = _long(name, length, text, found)
        length += size
        found.append((name, length))
    if len(found) > FIRST_KEPT + LAST_KEPT:
        return (*found[:FIRST_KEPT], *found[-LAST_KEPT:])
    return tuple(found)


def _long(name: int, length: int, text: str, found: list[Prefix]) -> int:
    """The name after a long text; a beginning more for each block that it fills."""
    size, start = len(text), 0
    for end in BLOCK_ENDS_CHARS:
        if end >= size:
            break
        name = ((name ^ crc32(text[start:end].encode("utf-8", "surrogatepass"))) * _ODD + end) & _MASK
        found.append((name, length + end))
        start = end
    rest = text[start:] if size <= BLOCK_ENDS_CHARS[-1] else text[-TAIL_CHARS:]
    return ((name ^ crc32(rest.encode("utf-8", "surrogatepass"))) * _ODD + size) & _MASK
