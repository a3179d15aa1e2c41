"""Event streams: however the bytes are cut, the same events come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.settings import CAPS
from controller.gateway.sse import EventTooLarge, Splitter, encode
from tests.gateway.relayed_streams import cut, places

BOM = b"\xef\xbb\xbf"
WIRES = {
    "one event": (b"data: a\n\n", [b"a"]),
    "two events": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "CR": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "all three line ends": (b"data: a\r\ndata: b\rdata: c\n\r\n", [b"a\nb\nc"]),
    "BOM": (BOM + b"data: a\n\n", [b"a"]),
    "a BOM later is text": (b"data: a\n\ndata: " + BOM + b"\n\n", [b"a", BOM]),
    "no space after the colon": (b"data:a\n\n", [b"a"]),
    "only one space goes": (b"data:  a \n\n", [b" a "]),
    "multi-line data": (b"data: a\ndata:\ndata: b\n\n", [b"a\n\nb"]),
    "comments": (b": ping\n\ndata: a\n: ping\n\n:\n\n", [b"a"]),
    "other fields": (b"event: x\nid: 7\nretry: 10\ndata: a\nunknown: y\n\n", [b"a"]),
    "fields that only begin like data": (b"database: x\n data: y\ndata: a\n\n", [b"a"]),
    "blank lines between events": (b"\n\n\ndata: a\n\n\n\ndata: b\n\n\n", [b"a", b"b"]),
    "an event without its blank line is not one": (b"data: a\n\ndata: b\n", [b"a"]),
    "UTF-8": ("data: zażółć 🙂\n\n".encode(), ["zażółć 🙂".encode()]),
    "other separators of Unicode are text": (
        "data: a\u2028b\x0bc\x0cd\x85e\n\n".encode(),
        ["a\u2028b\x0bc\x0cd\x85e".encode()],
    ),
    "nothing": (b"", []),
}
lines = st.sampled_from(
    [b"data: a", b"data:b", b"data:", b"data: \xc3\xa9", b": comment", b"event: x", b"", b"", b"junk", BOM]
)
ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
streams = st.lists(st.tuples(lines, ends), max_size=12).map(lambda pairs: b"".join(b"".join(pair) for pair in pairs))


def parse(*chunks: bytes) -> list[bytes]:
    """The data of all events in these reads."""
    splitter = Splitter()
    return [event for chunk in chunks for event in splitter.feed(chunk)]


@pytest.mark.parametrize(("wire", "events"), WIRES.values(), ids=WIRES.keys())
def test_events_of_a_stream(wire: bytes, events: list[bytes]) -> None:
    """What the specification says comes out, at once or with a cut at any byte, or byte by byte."""
    assert parse(wire) == events
    assert parse(*(wire[at : at + 1] for at in range(len(wire)))) == events
    for at in range(len(wire) + 1):
        assert parse(wire[:at], wire[at:]) == events


@given(streams, places)
def test_cuts_change_nothing(wire: bytes, where: list[int]) -> None:
    """Any bytes cut anywhere give the events of the whole."""
    assert parse(*cut(wire, where)) == parse(wire)


@given(st.lists(st.binary(min_size=1, max_size=40).filter(lambda data: b"\r" not in data), max_size=5), places)
def test_what_is_encoded_comes_out_again(events: list[bytes], where: list[int]) -> None:
    """`encode` is the inverse, for data of one line and of several."""
    wire = b"".join(encode(event) for event in events)
    assert parse(*cut(wire, where)) == events


def test_encoding_puts_every_line_into_a_field_of_its_own() -> None:
    """A line end in the data cannot begin a field or an event."""
    assert encode(b"a") == b"data: a\n\n"
    assert encode(b"a\n\nevent: x") == b"data: a\ndata: \ndata: event: x\n\n"


def test_between_events() -> None:
    """True only while nothing of an unfinished event is held: bytes of the next one may then be relayed as they are."""
    splitter = Splitter()
    for chunk, between in ((b"", True), (b"data: a", False), (b"\n", False), (b"\n", True), (b": x\n", True)):
        splitter.feed(chunk)
        assert splitter.is_between_events is between, chunk


@pytest.mark.parametrize(
    "unit",
    [b"x" * 65_536, b"data: " + b"x" * 65_529 + b"\n", b"data:\n" * 16_384],
    ids=["one endless line", "data line after data line", "empty data lines"],
)
def test_an_event_over_the_cap(unit: bytes) -> None:
    """What is held stays within the cap and one read; then the stream is given up."""
    with pytest.raises(EventTooLarge, match="larger than 1048576 bytes"):
        parse(*[unit] * (CAPS.event_bytes // 16_384 + 2))


def test_an_event_just_over_the_cap_whose_end_comes_with_its_last_bytes() -> None:
    """The cap is exact: one read that brings the rest and the end of an event is no way past it."""
    splitter = Splitter()
    assert splitter.feed(b"data: " + b"x" * (CAPS.event_bytes - 10)) == []
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x" * 20 + b"\n\n")


def test_an_event_at_the_cap_passes() -> None:
    """The cap is on one event, not on the stream."""
    event = b"x" * (CAPS.event_bytes - 16)
    splitter = Splitter()
    for _ in range(3):
        assert splitter.feed(b"data: " + event) == []
        assert splitter.feed(b"\n\n") == [event]
