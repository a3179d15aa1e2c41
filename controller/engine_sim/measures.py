"""The engine's counters under vLLM's names and types. Observing costs a list index; text is made only when scraped."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from controller.engine_sim.jobs import Track

TTFT_BOUNDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
TOKEN_BOUNDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_BOUNDS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
COUNT_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)
_REASONS = ("stop", "length", "abort", "error", "repetition")


class Histogram:
    """A Prometheus histogram without labels of its own."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """Its samples in text format."""
        yield f"# TYPE {name} histogram\n"
        below = 0
        for bound, count in zip((*map(float, self._bounds), "+Inf"), self._counts, strict=True):
            below += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {float(below)}\n'
        yield f"{name}_count{{{labels}}} {float(below)}\n{name}_sum{{{labels}}} {self.total}\n"


class EngineMeasures:
    """Everything counted since the process started."""

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name
        self._created_s = time.time()
        self.preemptions = 0
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.generation_tokens = 0
        self._ended = dict.fromkeys(_REASONS, 0)
        self._ttft = Histogram(TTFT_BOUNDS)
        self._itl = Histogram(TOKEN_BOUNDS)
        self._tpot = Histogram(TOKEN_BOUNDS)
        self._e2e = Histogram(REQUEST_BOUNDS)
        self._queue = Histogram(REQUEST_BOUNDS)
        self._inference = Histogram(REQUEST_BOUNDS)
        self._prefill = Histogram(REQUEST_BOUNDS)
        self._decode = Histogram(REQUEST_BOUNDS)
        self._request_prompt = Histogram(COUNT_BOUNDS)
        self._request_generation = Histogram(COUNT_BOUNDS)

    def token(self, track: Track, now_s: float) -> None:
        """A sequence got its next token."""
        track.emitted += 1
        self.generation_tokens += 1
        if track.last_s is None:
            track.first_s = now_s
            self.prompt_tokens += track.input_tokens
            self.cached_tokens += track.cached_tokens
            self._ttft.observe(now_s - track.submitted_s)
        else:
            self._itl.observe(now_s - track.last_s)
        track.last_s = now_s

    def finished(self, track: Track, now_s: float) -> None:
        """A sequence is complete."""
        self._ended["length" if track.plan.reason == "length" else "stop"] += 1
        first_s = track.first_s or now_s
        started_s = track.started_s or first_s
        self._e2e.observe(now_s - track.submitted_s)
        self._queue.observe(max(0.0, started_s - track.submitted_s))
        self._prefill.observe(first_s - started_s)
        self._decode.observe(now_s - first_s)
        self._inference.observe(now_s - started_s)
        self._request_prompt.observe(track.input_tokens)
        self._request_generation.observe(track.emitted)
        if track.emitted > 1:
            self._tpot.observe((now_s - first_s) / (track.emitted - 1))

    def aborted(self, track: Track) -> None:
        """A sequence was dropped."""
        del track
        self._ended["abort"] += 1

    def exposition(
        self, *, running: int, waiting: int, kv_used_ratio: float, prefix_queried: int, prefix_hit: int
    ) -> bytes:
        """All of it in Prometheus' text format."""
        labels = f'engine="0",model_name="{self._model_name}"'
        gauges = (("num_requests_running", running), ("num_requests_waiting", waiting))
        lines = [_sample(name, "gauge", labels, value) for name, value in gauges]
        lines.append(_sample("kv_cache_usage_perc", "gauge", labels, kv_used_ratio))
        reasons = ((f'{labels},reason="capacity"', waiting), (f'{labels},reason="deferred"', 0))
        lines.append(_family("num_requests_waiting_by_reason", "gauge", reasons))
        counters = (
            ("prefix_cache_queries", prefix_queried),
            ("prefix_cache_hits", prefix_hit),
            ("num_preemptions", self.preemptions),
            ("prompt_tokens", self.prompt_tokens),
            ("prompt_tokens_cached", self.cached_tokens),
            ("generation_tokens", self.generation_tokens),
        )
        lines.extend(self._counter(name, ((labels, value),)) for name, value in counters)
        ended = [
            (f'engine="0",finished_reason="{why}",model_name="{self._model_name}"', n) for why, n in self._ended.items()
        ]
        lines.append(self._counter("request_success", ended))
        limits = ("max_num_queued_reqs", "max_num_queued_tokens")
        refused = [(f'model_name="{self._model_name}",reason="{limit}"', 0) for limit in limits]
        lines.append(self._counter("admission_rejections", refused))
        for name, histogram in self._histograms():
            lines.extend(histogram.lines(f"vllm:{name}", labels))
        return "".join(lines).encode()

    def _histograms(self) -> Iterator[tuple[str, Histogram]]:
        yield "request_prompt_tokens", self._request_prompt
        yield "request_generation_tokens", self._request_generation
        yield "time_to_first_token_seconds", self._ttft
        yield "inter_token_latency_seconds", self._itl
        yield "request_time_per_output_token_seconds", self._tpot
        yield "e2e_request_latency_seconds", self._e2e
        yield "request_queue_time_seconds", self._queue
        yield "request_inference_time_seconds", self._inference
        yield "request_prefill_time_seconds", self._prefill
        yield "request_decode_time_seconds", self._decode

    def _counter(self, name: str, rows: Iterable[tuple[str, float]]) -> str:
        rows = tuple(rows)
        created = _family(f"{name}_created", "gauge", [(labels, self._created_s) for labels, _ in rows])
        return _family(f"{name}_total", "counter", rows) + created


def _sample(name: str, kind: str, labels: str, value: float) -> str:
    return _family(name, kind, ((labels, value),))


def _family(name: str, kind: str, rows: Iterable[tuple[str, float]]) -> str:
    samples = "".join(f"vllm:{name}{{{labels}}} {float(value)}\n" for labels, value in rows)
    return f"# TYPE vllm:{name} {kind}\n{samples}"
