"""Bodies that would be too many values once parsed are known before they are parsed; long texts are not mistaken."""

from __future__ import annotations

import pytest

from controller.config.settings import CAPS
from controller.gateway.weights import CONTAINER, is_bearable

MOST = CAPS.json_weight
OBJECTS = MOST // CONTAINER
BODIES = {
    "small": (b'{"a":[1,2,3]}', True),
    "empty objects": (b"[" + b"{}," * (4 * OBJECTS) + b"{}]", False),
    "just few enough objects": (b"[" + b"{}\n" * (OBJECTS - 1) + b"]", True),
    "nested": (b"[" * (12 * OBJECTS), False),
    "objects with keys": (b"[" + b'{"role":"user"},' * OBJECTS + b"{}]", False),
    "numbers": (b"[" + b"7," * MOST + b"7]", False),
    "many tokens": (b"[" + b"7," * (MOST // 2) + b"7]", True),
    "code in a text": (b'{"content":"' + b'{[,\\"' * (MOST // 4) + b'"}', True),
    "objects after code": (b'{"content":"' + b"{" * 600_000 + b'","x":[' + b"{}," * OBJECTS + b"1]}", False),
    "texts on every edge": (b"[" + b",".join(b'"%b"' % (b"{" * (n % 97)) for n in range(40_000)) + b"]", True),
    "bombs between texts": (b"[" + b'"x{",{},' * (2 * OBJECTS) + b"1]", False),
    "texts": (b"{" + b'"":"",' * (MOST + 1) + b'"":1}', False),
    "escapes without an end": (b'{"content":"' + b'\\"{' * (4 * OBJECTS), True),
    "a text that does not end": (b'{"content":"' + b"{" * 600_000, True),
}


@pytest.mark.parametrize(("body", "bearable"), BODIES.values(), ids=BODIES.keys())
def test_weights(body: bytes, bearable: bool) -> None:
    """By what is outside of texts."""
    assert is_bearable(body, MOST) is bearable
