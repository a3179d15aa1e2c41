"""Readers of files with a row per window: ServeGen's traces and datasets, and the digests of rates that ship.

ServeGen publishes two files per client: `chunk-1-trace.csv` without a head (start in s, requests/s, CV and distribution
of the times between arrivals, its two parameters) and `chunk-1-dataset.json` (shares of token counts by window).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import orjson

from controller.core.errors import TraceError
from controller.replay.trace_files_cells import CV_MAX, RATE_MAX, TIME_S_MAX, number, shown, tokens
from controller.replay.trace_files_lines import Line
from controller.replay.trace_files_types import Counts, Floats, RateSeries, RateTrace, TokenTrace, TokenWindow

WINDOW_S = 600.0  # of a file with one window only
WINDOW_S_LEAST = 1.0
DISTRIBUTIONS = ("", "Exponential", "Gamma", "Weibull", "Pareto", "Lognorm")
QUANTILES = (("p10", 0.10), ("p25", 0.25), ("p50", 0.50), ("p75", 0.75), ("p90", 0.90), ("p95", 0.95), ("p99", 0.99))
SHARES_MAX = 2_000_000

_Window = tuple[float, float, float, str]  # start in s, requests/s, CV, distribution


class _Windows:
    """Windows so far, by series."""

    def __init__(self) -> None:
        self._series: dict[str, dict[float, _Window]] = {}

    def add(self, place: str, name: str, window: _Window) -> None:
        """One window; TraceError when it stands there already."""
        known = self._series.setdefault(name, {})
        if known.setdefault(window[0], window) is not window:
            raise TraceError(f"{place}: the window from {window[0]:g} s stands twice; every one may stand once")

    def trace(self) -> RateTrace:
        """All of it in order; TraceError when there is no window, or no request in any."""
        if not self._series:
            raise TraceError("the trace has no rows; at least one is needed")
        series = {name: _series(windows) for name, windows in self._series.items()}
        if not any(one.rates_per_s.any() for one in series.values()):
            raise TraceError("every rate of the trace is 0; at least one must be greater")
        steps = [later - earlier for one in series.values() for earlier, later in pairwise(one.starts_s.tolist())]
        window_s = min(steps, default=WINDOW_S)
        if window_s < WINDOW_S_LEAST:
            raise TraceError(
                f"two windows begin {window_s:g} s apart; they must be at least {WINDOW_S_LEAST:g} s apart"
            )
        return RateTrace(window_s=window_s, series=series)


def _series(windows: Mapping[float, _Window]) -> RateSeries:
    ordered = [windows[start_s] for start_s in sorted(windows)]
    starts, rates, cvs, distributions = zip(*ordered, strict=True)
    return RateSeries(
        starts_s=np.array(starts, dtype=np.float64),
        rates_per_s=np.array(rates, dtype=np.float64),
        cvs=np.array(cvs, dtype=np.float64),
        distributions=distributions,
    )


def read_servegen_trace(rows: Iterable[Line]) -> RateTrace:
    """A client's windows as ServeGen publishes them; the two parameters follow from rate and CV and are not kept."""
    windows = _Windows()
    for line, text in rows:
        place = f"line {line}"
        cells = [cell.strip() for cell in text.split(",")]
        if len(cells) not in (4, 6):
            raise TraceError(
                f"{place}: it has {len(cells)} columns; it must have 6: start, rate, CV, distribution, 2 more"
            )
        window = (
            number(place, "start", cells[0], TIME_S_MAX),
            number(place, "rate", cells[1], RATE_MAX),
            number(place, "CV", cells[2] or "0", CV_MAX),
            _distribution(place, cells[3]),
        )
        windows.add(place, "", window)
    return windows.trace()


def read_rates(head: Sequence[str], rows: Iterable[Line]) -> RateTrace:
    """`t_s,rate_rps`, with `service` or `model` and `client` for the name, `cv` or `rate_weighted_cv`, `iat_dist`."""
    names = [head.index(column) for column in ("service", "model", "client") if column in head]
    at, rate = head.index("t_s"), head.index("rate_rps")
    cv = next((head.index(column) for column in ("cv", "rate_weighted_cv") if column in head), None)
    distribution = head.index("iat_dist") if "iat_dist" in head else None
    windows = _Windows()
    for line, text in rows:
        place, cells = _cells(head, line, text)
        window = (
            number(place, "t_s", cells[at], TIME_S_MAX),
            number(place, "rate_rps", cells[rate], RATE_MAX),
            0.0 if cv is None else number(place, head[cv], cells[cv], CV_MAX),
            "" if distribution is None else _distribution(place, cells[distribution]),
        )
        windows.add(place, "/".join(cells[index] for index in names), window)
    return windows.trace()


def read_token_quantiles(head: Sequence[str], rows: Iterable[Line]) -> TokenTrace:
    """`t_s` with `in_p10` to `in_p99` and the same for `out`: shares between quantiles, at their upper ends."""
    found: list[TokenWindow] = []
    for line, text in rows:
        place, cells = _cells(head, line, text)
        row = dict(zip(head, cells, strict=True))
        start_s = number(place, "t_s", row["t_s"], TIME_S_MAX)
        inputs, shares = _quantiles(place, row, "in")
        outputs, _ = _quantiles(place, row, "out")
        found.append(
            TokenWindow(
                start_s=start_s, input_tokens=inputs, input_shares=shares, output_tokens=outputs, output_shares=shares
            )
        )
    return _tokens_trace(found)


def read_servegen_dataset(rows: Iterable[Line]) -> TokenTrace:
    """A client's counts as published: `{"0": {"input_tokens": "{100: 0.5}", "output_tokens": ...}, "600": ...}`."""
    text = "\n".join(text for _, text in rows)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise TraceError(f"line {error.lineno}: the file must be JSON ({error.msg}), not {shown(text)}") from error
    found: list[TokenWindow] = []
    for start, window in document.items():
        place = f"window {shown(start)}"
        start_s = number(place, "its start", start, TIME_S_MAX)
        if not isinstance(window, dict):
            raise TraceError(f"{place}: it must be an object with input_tokens and output_tokens, not {shown(window)}")
        inputs, outputs = (_shares(place, name, window.get(name)) for name in ("input_tokens", "output_tokens"))
        if inputs is not None and outputs is not None:  # windows without a request are empty
            found.append(
                TokenWindow(
                    start_s=start_s,
                    input_tokens=inputs[0],
                    input_shares=inputs[1],
                    output_tokens=outputs[0],
                    output_shares=outputs[1],
                )
            )
    return _tokens_trace(found)


def _tokens_trace(found: list[TokenWindow]) -> TokenTrace:
    if not found:
        raise TraceError("the file has no window with token counts; at least one is needed")
    return TokenTrace(windows=tuple(sorted(found, key=lambda window: window.start_s)))


def _cells(head: Sequence[str], line: int, text: str) -> tuple[str, list[str]]:
    cells = text.split(",")
    if len(cells) != len(head):
        raise TraceError(f"line {line}: it has {len(cells)} columns; it must have {len(head)} as line 1 does")
    return f"line {line}", cells


def _distribution(place: str, text: str) -> str:
    if text not in DISTRIBUTIONS:
        allowed = ", ".join(DISTRIBUTIONS[1:])
        raise TraceError(f"{place}: the distribution must be empty or one of {allowed}, not {shown(text)}")
    return text


def _quantiles(place: str, row: Mapping[str, str], side: str) -> tuple[Counts, Floats]:
    values = [tokens(place, f"{side}_{name}", row.get(f"{side}_{name}", "")) for name, _ in QUANTILES]
    if any(earlier > later for earlier, later in pairwise(values)):
        raise TraceError(f"{place}: {side}_p10 to {side}_p99 must not fall, and are {shown(values)}")
    bounds = np.array([0.0, *(share for _, share in QUANTILES[:-1]), 1.0])
    return np.array(values, dtype=np.int32), np.diff(bounds)


def _shares(place: str, name: str, value: object) -> tuple[Counts, Floats] | None:
    """Counts and their shares of `{100: 0.5, 200: 0.5}`, the text of a Python dict; None when there are none."""
    plain = value.strip() if isinstance(value, str) else ""
    if not (plain.startswith("{") and plain.endswith("}") and plain.count(",") < SHARES_MAX):
        raise TraceError(f"{place}: {name} must be like {{100: 0.5, 200: 0.5}}, not {shown(value)}")
    parts = [part.partition(":") for part in plain[1:-1].split(",") if part.strip()]
    counts = [tokens(place, name, count.strip().removesuffix(".0")) for count, _, _ in parts]
    shares = np.array([number(place, f"the share of {name}", share, RATE_MAX) for _, _, share in parts])
    if not parts:
        return None
    total = float(shares.sum())
    if total <= 0:
        raise TraceError(f"{place}: the shares of {name} sum to 0; they must sum to more")
    return np.array(counts, dtype=np.int32), shares / total
