"""Bytes that are no trace end in one TraceError, whatever they are."""

from __future__ import annotations

import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.errors import TraceError
from controller.replay.trace_files import read_trace
from controller.replay.trace_files_lines import lines
from controller.replay.trace_files_types import RateTrace, RequestTrace, TokenTrace, Trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
ARRIVALS = "arrival_ms,input_tokens,output_tokens,hash_ids_512\n"
RATES = "service,t_s,rate_rps\n"
CLIENTS = "model,client,t_s,rate_rps,cv,iat_dist,p1,p2\n"
QUANTILES = (
    "t_s,in_p10,in_p25,in_p50,in_p75,in_p90,in_p95,in_p99,out_p10,out_p25,out_p50,out_p75,out_p90,out_p95,out_p99\n"
)


def read(data: bytes) -> Trace:
    """The trace in these bytes."""
    return read_trace(io.BytesIO(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(AZURE.encode())[:-9], "line 1: the gzip file is damaged"),
        (b"\x1f\x8brubbish", "line 1: the gzip file is damaged"),
        (gzip.compress(AZURE.encode())[:10] + b"\xff" * 20, "line 1: the gzip file is damaged"),
        (AZURE.encode() + b"\xff\xfe,1,1\n", "line 2: it has the byte 0xff; it must be UTF-8 text"),
        (bytes(range(256)), "line 2: it has the byte 0x80|line 1: the columns"),
    ],
    ids=["cut", "no gzip", "no deflate", "not text", "all bytes"],
)
def test_binary_rubbish_is_told(data: bytes, words: str) -> None:
    """As one error with its line."""
    with pytest.raises(TraceError, match=words):
        read(data)


def test_a_line_without_an_end_is_refused() -> None:
    """Before it fills the memory."""
    with pytest.raises(TraceError, match="line 2: it has more than 100 bytes"):
        list(lines(io.BytesIO(b"a\n" + b"b" * 101), line_bytes_max=100))


HEADS = st.sampled_from(
    [
        head.encode()
        for head in (AZURE, BURSTGPT, ARRIVALS, RATES, CLIENTS, QUANTILES, "0,1,1,Gamma\n", "{", '{"timestamp":')
    ]
)
CELLS = st.sampled_from(
    [
        "0",
        "1",
        "600",
        "-1",
        "nan",
        "inf",
        "1e400",
        "2023-11-16 18:17:03.5",
        "5-7",
        "",
        '"',
        "{",
        "[[",
        ":",
        "Gamma",
        "²",
        "\x00",
    ]
)
ROWS = st.lists(st.lists(CELLS, max_size=9).map(",".join), max_size=5).map("\n".join).map(str.encode)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.binary(max_size=200), st.builds(bytes.__add__, HEADS, ROWS | st.binary(max_size=60))), st.booleans()
)
def test_no_bytes_raise_anything_else(data: bytes, zipped: bool) -> None:
    """They are a trace, or a TraceError."""
    try:
        trace = read(gzip.compress(data) if zipped else data)
    except TraceError:
        return
    assert isinstance(trace, RequestTrace | RateTrace | TokenTrace)
