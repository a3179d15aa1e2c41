"""The rows of the table: what each figure is called, which way is better, and the value to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. `reach` None: shown, not judged."""

    name: str
    title: str
    reach: float | None = None
    more_is_better: bool = False
    digits: int = 2

    def reached(self, value: float) -> bool | None:
        """Whether the value is good enough; None when there is nothing to reach or nothing was measured."""
        if self.reach is None or isnan(value):
            return None
        return value >= self.reach if self.more_is_better else value <= self.reach


ROWS = (
    Row(name="unary_per_s", title="unary req/s, 64 connections", more_is_better=True, digits=0),
    Row(name="times_vllm_router", title="  times vllm-router", reach=0.8, more_is_better=True),
    Row(name="times_litellm", title="  times LiteLLM", reach=2.5, more_is_better=True, digits=1),
    Row(name="unary_p50_ms", title="  p50 ms"),
    Row(name="unary_p99_ms", title="  p99 ms"),
    Row(name="cpu_us_per_request", title="CPU us per request", digits=0),
    Row(name="single_p50_ms", title="p50 ms, 1 connection", digits=3),
    Row(name="added_p50_ms", title="  added to direct, ms", reach=0.4, digits=3),
    Row(name="half_load_p99_ms", title="p99 ms, half load, 64 connections", reach=2.0),
    Row(name="cpu_us_per_event", title="CPU us per paced SSE event", reach=45, digits=0),
    Row(name="relay_p50_ms", title="  relay p50 ms"),
    Row(name="relay_p99_ms", title="  relay p99 ms", reach=1.5),
    Row(name="large_per_s", title="220 KB prompts req/s", reach=1_500, more_is_better=True, digits=0),
    Row(name="upstream_freed_s", title="upstream freed after clients left, s", reach=1.0),
    Row(name="idle_rss_mb", title="idle RSS MB", reach=150, digits=0),
    Row(name="ready_s", title="ready, s", reach=2.0),
)

RATIOS = {"vllm-router": "times_vllm_router", "litellm": "times_litellm"}  # by the peer it compares with

Figures = dict[str, float]  # by name of the figure
Results = Mapping[str, Figures]


def medians(rounds: Sequence[Results]) -> dict[str, Figures]:
    """The median of each figure of each target over the rounds that have it."""
    found: dict[str, Figures] = {}
    for target in dict.fromkeys(name for one in rounds for name in one):
        seen = [one[target] for one in rounds if target in one]
        names = dict.fromkeys(name for figures in seen for name in figures)
        found[target] = {name: median(figures[name] for figures in seen if name in figures) for name in names}
    return found


def with_ratios(results: Results) -> dict[str, Figures]:
    """The results and what follows from comparing targets."""
    full = {target: dict(figures) for target, figures in results.items()}
    direct = full.get("direct", {})
    for target, figures in full.items():
        if target != "direct" and "single_p50_ms" in figures and "single_p50_ms" in direct:
            figures["added_p50_ms"] = figures["single_p50_ms"] - direct["single_p50_ms"]
    ours = full.get("spillway", {})
    for peer, ratio in RATIOS.items():
        if "unary_per_s" in ours and full.get(peer, {}).get("unary_per_s"):
            ours[ratio] = ours["unary_per_s"] / full[peer]["unary_per_s"]
    return full
