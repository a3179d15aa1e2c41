"""However an upstream's bytes are cut, the caller gets the same events and metering the same counts."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.wires import STREAMS, STYLES, Stream, events, written
from tests.gateway.relayed_streams import cut

CASES = [
    (name, ending, style) for (name, (_, endings)), style in product(STREAMS.items(), STYLES) for ending in endings
]


def said(stream: Stream, pieces: list[bytes]) -> tuple[list[bytes], object, bool, bool, str]:
    """Events out, usage, whole or not, anything seen, error."""
    out = b""
    for piece in pieces:
        if stream.done or stream.error is not None:
            break
        out += stream.feed(piece)
    if stream.error is None:
        out += stream.end()
    return events(out), stream.usage, stream.done, stream.content_seen, repr(stream.error)


def places_of(wire: bytes) -> set[int]:
    """Its beginning, both sides of every byte of a line end, and every eleventh byte."""
    ends = {at + side for at, byte in enumerate(wire) if byte in b"\r\n" for side in (0, 1)}
    return {*range(8), *range(0, len(wire), 11), *ends, len(wire)}


@pytest.mark.parametrize(("name", "ending", "style"), CASES, ids=[" ".join(case) for case in CASES])
def test_a_cut_at_any_byte(name: str, ending: str, style: str) -> None:
    """parse(split) == parse(whole), at every offset, and byte by byte; other styles than LF: wherever lines end."""
    make, endings = STREAMS[name]
    wire = written(endings[ending], style)
    whole = said(make(), [wire])
    assert whole[2] is (ending == "whole")
    assert whole[0], "a stream that says nothing would pass any test"
    for place in range(len(wire) + 1) if style == "LF" else places_of(wire):
        assert said(make(), [wire[:place], wire[place:]]) == whole
    assert said(make(), [wire[at : at + 1] for at in range(len(wire))]) == whole


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(list(STREAMS)),
    st.sampled_from(["whole", "broken", "cut"]),
    st.sampled_from(list(STYLES)),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_many_cuts(name: str, ending: str, style: str, places: list[int]) -> None:
    """Several at once change nothing either."""
    make, endings = STREAMS[name]
    wire = written(endings[ending], style)
    assert said(make(), cut(wire, places)) == said(make(), [wire])


@pytest.mark.parametrize(("name", "style"), list(product(STREAMS, STYLES)))
def test_a_style_changes_nothing(name: str, style: str) -> None:
    """Line ends, comments and line breaks of the upstream are not the caller's business."""
    make, endings = STREAMS[name]
    assert said(make(), [written(endings["whole"], style)])[1:] == said(make(), [written(endings["whole"], "LF")])[1:]
