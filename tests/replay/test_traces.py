"""Recorded traffic is read as published, and refused with line, value and allowed range."""

from __future__ import annotations

import pytest

from controller.core.errors import TraceError
from controller.replay.traces import TraceRequest, read_azure, shipped_slice, thinned

HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens"


def test_rows_become_arrivals_from_the_first_one() -> None:
    """Times count from the earliest row to 100 ns, rows out of order are put in order, blank lines are nothing."""
    read = read_azure([HEAD, "2023-11-16 18:17:04.0319600,3180,8", "", "2023-11-16 18:17:03.9799600,4808,10"])
    assert [(round(row.arrival_s, 6), row.input_tokens, row.output_tokens) for row in read] == [
        (0.0, 4808, 10),
        (0.052, 3180, 8),
    ]


def test_the_schema_of_2024_is_the_same() -> None:
    """A byte order mark, a UTC offset, whole seconds and further columns do no harm."""
    read = read_azure(
        ["\ufeff" + HEAD + ",Model", "2024-05-10 00:00:00+00:00,1,0,x", "2024-05-10 00:00:01.5+00:00,2,3,x"]
    )
    assert read[1] == TraceRequest(arrival_s=1.5, input_tokens=2, output_tokens=3)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "line 1: the columns must be"),
        (["a,b,c"], "line 1: the columns must be"),
        ([HEAD], "no rows"),
        ([HEAD, "2023-11-16 18:17:03,5"], "line 2: 2 columns"),
        ([HEAD, "yesterday,5,5"], "line 2: TIMESTAMP must be like"),
        ([HEAD, "2023-11-16 18:17:03.x,5,5"], "line 2: TIMESTAMP must be like"),
        ([HEAD, "2023-11-16 18:17:03,many,5"], "line 2: ContextTokens must be a whole number from 0 to 10000000"),
        ([HEAD, "2023-11-16 18:17:03,5,-1"], "line 2: GeneratedTokens must be"),
        ([HEAD, "2023-11-16 18:17:03,99999999,1"], "line 2: ContextTokens must be"),
    ],
    ids=["empty", "columns", "no rows", "short", "time", "fraction", "text", "negative", "too large"],
)
def test_what_is_not_a_trace_is_refused(lines: list[str], words: str) -> None:
    """One message with line, value and allowed range."""
    with pytest.raises(TraceError, match=words):
        read_azure(lines)


def test_the_shipped_slice_is_bursty() -> None:
    """960 requests in two minutes, the busiest ten seconds with several times the mean."""
    rows = shipped_slice()
    assert len(rows) == 960
    assert 115 < rows[-1].arrival_s < 120
    per_window = [sum(1 for row in rows if start <= row.arrival_s < start + 10) for start in range(0, 120, 10)]
    assert max(per_window) > 2.5 * len(rows) / 12
    assert sum(row.input_tokens for row in rows) == 1_751_914


def test_thinning_keeps_times() -> None:
    """Every third request, each at its own time."""
    rows = shipped_slice()
    assert thinned(rows, 3) == rows[::3]
    assert thinned(rows, 1) == rows
