"""Trace files are read as they are published; whatever is wrong in one is told with line, value and allowed range."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from controller.core.errors import TraceError
from controller.replay.trace_files import read_trace, read_trace_file, shipped_trace
from controller.replay.trace_files_types import RateTrace, RequestTrace, TokenTrace, Trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
AZURE_ROW = "2023-11-16 18:17:03.9799600,4808,10\n"
BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
BURSTGPT_3 = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
ARRIVALS = "arrival_ms,input_tokens,output_tokens,hash_ids_512\n"
RATES = "service,t_s,rate_rps\n"
CLIENTS = "model,client,t_s,rate_rps,cv,iat_dist,p1,p2\n"
QUANTILES = (
    "t_s,in_p10,in_p25,in_p50,in_p75,in_p90,in_p95,in_p99,out_p10,out_p25,out_p50,out_p75,out_p90,out_p95,out_p99\n"
)


def read(text: str | bytes) -> Trace:
    """The trace in these bytes."""
    return read_trace(io.BytesIO(text.encode() if isinstance(text, str) else text))


def requests(text: str | bytes) -> RequestTrace:
    """The trace in these bytes, which holds requests."""
    trace = read(text)
    assert isinstance(trace, RequestTrace)
    return trace


def rates(text: str) -> RateTrace:
    """The trace in this text, which holds rates."""
    trace = read(text)
    assert isinstance(trace, RateTrace)
    return trace


def rows_of(trace: RequestTrace) -> list[tuple[float, int, int]]:
    """Arrivals to the microsecond, inputs, outputs."""
    return list(
        zip(
            np.round(trace.arrivals_s, 6).tolist(),
            trace.input_tokens.tolist(),
            trace.output_tokens.tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            AZURE + "2023-11-16 18:17:04.0319600,3180,8\r\n\r\n" + AZURE_ROW,
            [(0.0, 4808, 10), (0.052, 3180, 8)],
        ),
        (
            "\ufeff" + AZURE + "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01+00:00,2,3",
            [(0.0, 2162, 5), (0.99007, 2, 3)],
        ),
        (AZURE + "2024-05-10T00:00:00Z,1,1\n2024-05-10T01:00:00Z,2,0\n", [(0.0, 1, 1), (3600.0, 2, 0)]),
        (
            BURSTGPT + "5,ChatGPT,472,18,490,Conversation log\n45.5,GPT-4,1087,0,1087,API log\n",
            [(0.0, 472, 18), (40.5, 1087, 0)],
        ),
        (BURSTGPT_3 + "19440110.0,1722ac82-0a46,43,GPT-4,906,446,1352,Conversation log\n", [(0.0, 906, 446)]),
        ("arrival_ms,input_tokens,output_tokens\n6011,178,8\n5011,258,40\n", [(0.0, 258, 40), (1.0, 178, 8)]),
        (
            '{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}\n'
            '{"timestamp": 0.5, "input_length": 655, "output_length": 1}\n',
            [(0.0, 655, 1), (27.4815, 6955, 52)],
        ),
    ],
    ids=["azure 2023", "azure 2024", "azure iso", "burstgpt", "burstgpt 3", "arrivals", "mooncake"],
)
def test_requests_are_read_as_published(text: str, rows: list[tuple[float, int, int]]) -> None:
    """In order of arrival, counted from the first, the same from a gzip file; gaps stay."""
    assert rows_of(requests(text)) == rows
    assert rows_of(requests(gzip.compress(text.encode()))) == rows


def test_blocks_follow_their_requests() -> None:
    """Block numbers from lists and from ranges stay with their request when rows are put in order."""
    from_json = requests(
        '{"timestamp": 9, "input_length": 1, "output_length": 1, "hash_ids": [7, 8, 9]}\n'
        '{"timestamp": 5, "input_length": 1, "output_length": 1, "hash_ids": [7]}\n'
        '{"timestamp": 7, "input_length": 1, "output_length": 1}\n'
    )
    from_ranges = requests(ARRIVALS + "9,1,1,7-9\n5,1,1,7\n7,1,1,\n")
    for trace in (from_json, from_ranges):
        assert trace.blocks is not None
        assert [trace.blocks.of(request).tolist() for request in range(len(trace))] == [[7], [], [7, 8, 9]]


def test_rates_are_read_by_service_and_client() -> None:
    """Windows in order, missing ones stay missing, zero rates stay; the window is the least step."""
    trace = rates(RATES + "conv,1200,3\ncode,600,0\ncode,0,2.5\ncode,1800,1\n")
    assert trace.window_s == 600
    assert list(trace.series) == ["conv", "code"]
    code = trace.series["code"]
    assert code.starts_s.tolist() == [0, 600, 1800]
    assert code.rates_per_s.tolist() == [2.5, 0, 1]
    assert code.distributions == ("", "", "")
    clients = rates(CLIENTS + "m,5,0,378.9,1.122,Gamma,0.79,0.003\nm,6,0,1,2,Weibull,1,1\n")
    assert clients.window_s == 600
    assert clients.series["m/6"].cvs.tolist() == [2]
    assert clients.series["m/6"].distributions == ("Weibull",)


def test_servegen_files_are_read_as_published() -> None:
    """A client's trace has no head, and idle windows without a distribution; its dataset has texts of dicts."""
    trace = rates("0,5.0,0.8,Weibull,1.5,0.02\n600,0,0,,0,0\n1200,1,,Gamma\n")
    assert trace.series[""].rates_per_s.tolist() == [5, 0, 1]
    dataset = read(
        '{"600": {"input_tokens": "{100: 0.5, 200.0: 1.5e-0,}", "output_tokens": "{50: 1.0}"},\n'
        ' "0": {"input_tokens": "{7: 1}", "output_tokens": "{8: 3}"},'
        ' "1200": {"input_tokens": "{}", "output_tokens": "{}"},'
        ' "1800": {"input_tokens": "{1: 1}", "output_tokens": "{}"}}'
    )
    assert isinstance(dataset, TokenTrace)
    assert [window.start_s for window in dataset.windows] == [0, 600]
    assert dataset.windows[1].input_tokens.tolist() == [100, 200]
    assert dataset.windows[1].input_shares.tolist() == [0.25, 0.75]


@pytest.mark.parametrize(
    ("name", "count", "tokens"),
    [
        ("azure_llm_2023_code.csv.gz", 8819, 18_305_870),
        ("azure_llm_2023_conv.csv.gz", 19366, 26_450_535),
        ("azure_llm_2023_code_slice.csv", 960, 1_782_694),
        ("aibrix_8min_up_and_down.csv", 2026, 743_379),
        ("mooncake_synthetic.csv.gz", 3993, 61_790_060),
    ],
    ids=str,
)
def test_shipped_requests_are_whole(name: str, count: int, tokens: int) -> None:
    """As many requests and tokens as the README of the data says."""
    trace = shipped_trace(name)
    assert isinstance(trace, RequestTrace)
    assert len(trace) == count
    assert int(trace.input_tokens.sum() + trace.output_tokens.sum()) == tokens


def test_shipped_windows_are_whole() -> None:
    """Two weeks of Azure's services, ServeGen's two weeks with its clients and token counts."""
    azure = shipped_trace("azure_llm_2024_rate_digitised_10min.csv")
    clients = shipped_trace("servegen_clients_10min_top.csv.gz")
    total = shipped_trace("servegen_rate_10min.csv.gz")
    token_counts = shipped_trace("servegen_tokens_6h.csv")
    assert isinstance(azure, RateTrace)
    assert isinstance(clients, RateTrace)
    assert isinstance(total, RateTrace)
    assert isinstance(token_counts, TokenTrace)
    assert {name: len(one.starts_s) for name, one in azure.series.items()} == {"code": 1008, "conv": 1008}
    assert len(clients.series) == 8
    assert len(total.series["m-small"].starts_s) == 2016
    assert len(token_counts.windows) == 56


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    """From its start; a file that is not there is told."""
    path = tmp_path / "trace.csv"
    path.write_text(AZURE + AZURE_ROW)
    assert isinstance(read_trace_file(path), RequestTrace)
    with pytest.raises(TraceError, match="the file cannot be read: No such file"):
        read_trace_file(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("a,b,c\n1,2,3\n", r"line 1: the columns must be those of one of .*BurstGPT.*; it begins with 'a,b,c'"),
        ("1,x,3,4\n", "line 1: the columns must be"),
        (AZURE, "the trace has no rows"),
        (RATES, "the trace has no rows"),
        (QUANTILES, "no window with token counts"),
        (AZURE + "2023-11-16 18:17:03,5\n", "line 2: it has 2 columns; it must have 3 as line 1 does"),
        (AZURE + "yesterday,5,5\n", "line 2: TIMESTAMP must be like .*, not 'yesterday'"),
        (AZURE + "2023-11-16 18:17:61,5,5\n", "line 2: TIMESTAMP must be like"),
        (AZURE + "2023-11-16 18:17:03.1e9,5,5\n", "line 2: TIMESTAMP must be like"),
        (AZURE + "2023-02-30 18:17:03,5,5\n", "line 2: TIMESTAMP must be like"),
        (AZURE + "٢٠٢٣-11-16 18:17:03,5,5\n", "line 2: TIMESTAMP must be like"),
        (AZURE + "1969-11-16 18:17:03,5,5\n", "line 2: TIMESTAMP must be like .*from 1970 on"),
        (AZURE + AZURE_ROW + "2023-11-16 18:17:03,nan,5\n", "line 3: ContextTokens must be a whole number from 0 to 1"),
        (AZURE + "2023-11-16 18:17:03,5,-1\n", "line 2: GeneratedTokens must be .*, not '-1'"),
        (AZURE + f"2023-11-16 18:17:03,{'9' * 5000},5\n", r"line 2: ContextTokens must be .*, not '9{59}\.\.\."),
        (BURSTGPT + "nan,m,1,1,2,API log\n", "line 2: Timestamp must be a number from 0 to 1e.11, not 'nan'"),
        (BURSTGPT + "-5,m,1,1,2,API log\n", "line 2: Timestamp must be .*, not '-5'"),
        (BURSTGPT + "5,m,1.5,1,2,API log\n", "line 2: Request tokens must be .*, not '1.5'"),
        (ARRIVALS + "1,1,1,9-7\n", "line 2: hash_ids_512 must be ranges such as 0-3 17 .*, not '9-7'"),
        (ARRIVALS + "1,1,1,x\n", "line 2: hash_ids_512 must be ranges"),
        (ARRIVALS + "1,1,1,0-99999999\n", "line 2: hash_ids_512 must be ranges .*at most 19532"),
        ('{"timestamp": 1,\n', r"line 1: it must be a JSON object, not '\{\"timestamp\": 1,'"),
        ('{"timestamp": 1, "input_length": 1, "output_length": 1}\n[1]\n', "line 2: it must be a JSON object, not"),
        ('{"timestamp": 1, "input_length": true, "output_length": 1}\n', "line 1: input_length must be a number"),
        ('{"timestamp": 1, "input_length": 1}\n', "line 1: output_length must be a number, not None"),
        ('{"timestamp": -1, "input_length": 1, "output_length": 1}\n', "line 1: timestamp must be .*, not '-1'"),
        (
            '{"timestamp": 1, "input_length": 1, "output_length": 1, "hash_ids": [-1]}',
            "line 1: hash_ids must be a list",
        ),
        ('{"timestamp": 1, "input_length": 1, "output_length": 1, "hash_ids": 5}', "line 1: hash_ids must be a list"),
        (RATES + "a,0,nan\n", "line 2: rate_rps must be a number from 0 to 1e.09, not 'nan'"),
        (RATES + "a,0,-2\n", "line 2: rate_rps must be .*, not '-2'"),
        (RATES + "a,0,0\nb,0,0\n", "every rate of the trace is 0; at least one must be greater"),
        (RATES + "a,0,1\na,0,2\n", "line 3: the window from 0 s stands twice"),
        (RATES + "a,0,1\na,0.5,2\n", "two windows begin 0.5 s apart; they must be at least 1 s apart"),
        (RATES + "a,0\n", "line 2: it has 2 columns; it must have 3"),
        (CLIENTS + "m,5,0,1,-1,Gamma,1,1\n", "line 2: cv must be .*, not '-1'"),
        (CLIENTS + "m,5,0,1,1,Zipf,1,1\n", "line 2: the distribution must be empty or one of Exponential, Gamma"),
        ("0,1,1,Gamma,1\n", "line 1: it has 5 columns; it must have 6: start, rate"),
        ("0,inf,1,Gamma\n", "line 1: rate must be .*, not 'inf'"),
        (QUANTILES + "0" + ",5" * 13 + ",4\n", "line 2: out_p10 to out_p99 must not fall, and are"),
        ("t_s,in_p50,out_p50\n0,1,1\n", "line 2: in_p10 must be a whole number from 0 to 10000000, not ''"),
        ("{", "line 1: the file must be JSON"),
        ("{}", "no window with token counts"),
        ('{"x": {}}', "window 'x': its start must be a number"),
        ('{"0": 1}', "window '0': it must be an object with input_tokens"),
        ('{"0": {"input_tokens": 5}}', "window '0': input_tokens must be like {100: 0.5, 200: 0.5}, not 5"),
        ('{"0": {"input_tokens": "{a: 1}", "output_tokens": "{}"}}', "window '0': input_tokens must be a whole number"),
        ('{"0": {"input_tokens": "{1: x}", "output_tokens": "{}"}}', "window '0': the share of input_tokens must be"),
        ('{"0": {"input_tokens": "{1: 0}", "output_tokens": "{}"}}', "window '0': the shares of input_tokens sum to 0"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_wrong_is_told(text: str, words: str) -> None:
    """Once, with line or window, value and what is allowed."""
    with pytest.raises(TraceError, match=words):
        read(text)
