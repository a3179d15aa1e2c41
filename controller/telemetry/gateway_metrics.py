"""Every metric of the gateway, by name, once. Plain integers that a scrape reads: no lock or label look-up per request.

`pool` is the name of an own pool, or of the provider for requests that went outside.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.telemetry.labels import BoundedLabel

REQUESTS = "spillway_requests_total"
REQUEST_DURATION = "spillway_request_duration_seconds"
TTFT = "spillway_ttft_seconds"
TPOT = "spillway_tpot_seconds"
OVERHEAD = "spillway_overhead_seconds"
TOKENS = "spillway_tokens_total"
IN_FLIGHT = "spillway_in_flight"
GATEWAY_IN_FLIGHT = "spillway_gateway_in_flight"
REPLICA_IN_FLIGHT = "spillway_replica_in_flight"
POOL_ARRIVALS = "spillway_pool_arrivals_total"
POOL_INPUT_TOKENS = "spillway_pool_input_tokens_total"
POOL_OUTPUT_TOKENS = "spillway_pool_output_tokens_total"
POOL_BOUND = "spillway_pool_bound_requests_total"
SPILLED = "spillway_spilled_requests_total"
ATTEMPTS = "spillway_attempts_total"
SPEND = "spillway_spend_usd_total"
RATE_LIMITED = "spillway_rate_limited_total"
IDEMPOTENT = "spillway_idempotent_requests_total"
CLIENT_LEFT = "spillway_client_disconnects_total"
DRAINING = "spillway_draining"
QUEUE_DEPTH = "spillway_queue_depth"
QUEUED = "spillway_queued_requests_total"
CLIENT_RETRIES = "spillway_client_retries_total"
RETRIES = "spillway_retries_total"
LOOP_LAG = "spillway_loop_lag_seconds"
LOOP_COMPUTED = "spillway_loop_computed_seconds"
TASKS = "spillway_tasks"

DURATION_BUCKETS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TTFT_BUCKETS_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TPOT_BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
LOOP_LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
OVERHEAD_BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05)


class Histogram:
    """Counts per bucket and a sum; one bisect per observation."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """One more observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        found, cumulative = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            cumulative += count
            found.append((bound, float(cumulative)))
        return found


class TargetMetrics:
    """Everything counted per own pool or provider."""

    __slots__ = (
        "arrivals",
        "attempts",
        "bound",
        "cached_input_tokens",
        "codes",
        "duration",
        "fresh_input_tokens",
        "in_flight",
        "input_tokens",
        "is_own",
        "output_tokens",
        "queued",
        "served_output_tokens",
        "spilled",
        "tpot",
        "ttft",
        "waiting",
    )

    def __init__(self, *, is_own: bool) -> None:
        self.is_own = is_own
        self.in_flight = 0
        # Demand offered to an own pool, also when it was then served elsewhere.
        self.arrivals = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.bound = 0
        self.spilled: dict[str, int] = {}
        # Its waiting line in this gateway: who is in it, and what became of who was or wanted to be.
        self.waiting = 0
        self.queued: dict[str, int] = {}
        # What was served here.
        self.codes: dict[int, int] = {}
        self.attempts: dict[str, int] = {}
        self.fresh_input_tokens = 0
        self.cached_input_tokens = 0
        self.served_output_tokens = 0
        self.duration = Histogram(DURATION_BUCKETS_S)
        self.ttft = Histogram(TTFT_BUCKETS_S)
        self.tpot = Histogram(TPOT_BUCKETS_S)


class GatewayMetrics(Collector):
    """All counters of one gateway process, and how a scrape renders them."""

    def __init__(self, replica_in_flight: Callable[[], Mapping[str, int]] = dict) -> None:
        self.targets: dict[str, TargetMetrics] = {}
        self.overhead = Histogram(OVERHEAD_BUCKETS_S)
        self.refused: dict[int, int] = {}
        self.in_flight = 0
        self.client_left = 0
        self.client_retries = [0, 0, 0]  # requests that are a caller's first, second, later repetition
        self.retries: dict[str, int] = {}  # ours, by what the retry budget said
        self.spend_nanousd = 0
        self.own_nanousd = 0
        self.draining = False
        self.replica_in_flight = replica_in_flight
        self.loop_lag = Histogram(LOOP_LAG_BUCKETS_S)
        self.loop_computed = Histogram(LOOP_LAG_BUCKETS_S)
        self.tasks: Callable[[], int] = lambda: 0
        self.idempotent: dict[str, int] = {}  # by what became of them
        self.limited: dict[tuple[str, str], int] = {}  # by tenant and kind of limit
        self._tenants = BoundedLabel()

    def rate_limited(self, tenant: str, kind: str) -> None:
        """One more request that was refused for a limit per minute."""
        key = self._tenants.of(tenant), kind
        self.limited[key] = self.limited.get(key, 0) + 1

    def target(self, name: str, *, is_own: bool) -> TargetMetrics:
        """The counters of one pool or provider; made on first use, so names come from the configuration only."""
        found = self.targets.get(name)
        if found is None:
            found = self.targets[name] = TargetMetrics(is_own=is_own)
        return found

    def keep_only(self, own: Collection[str], external: Collection[str]) -> None:
        """Afterwards pools and providers that are not configured any more have no series, once nothing is under way."""
        for name, target in list(self.targets.items()):
            known = own if target.is_own else external
            if name not in known and not target.in_flight and not target.waiting:
                del self.targets[name]

    def collect(self) -> Iterable[Metric]:
        """Every family, for `prometheus_client`."""
        yield self._requests()
        yield from self._gauges()
        yield from self._demand()
        yield from self._served()
        histograms: tuple[tuple[str, str, Callable[[TargetMetrics], Histogram]], ...] = (
            (REQUEST_DURATION, "Accepted to last byte", lambda target: target.duration),
            (TTFT, "Accepted to first token sent", lambda target: target.ttft),
            (TPOT, "Time per output token after the first", lambda target: target.tpot),
        )
        for name, words, pick in histograms:
            family = HistogramMetricFamily(name, words, labels=["pool"])
            for pool, target in self.targets.items():
                histogram = pick(target)
                family.add_metric([pool], histogram.buckets(), histogram.total)
            yield family
        overhead = HistogramMetricFamily(OVERHEAD, "Accepted to request sent upstream")
        overhead.add_metric([], self.overhead.buckets(), self.overhead.total)
        yield overhead
        for name, words, histogram in (
            (LOOP_LAG, "How late the event loop came to a timer, sampled", self.loop_lag),
            (LOOP_COMPUTED, "The part of that lag in which it computed", self.loop_computed),
        ):
            lag = HistogramMetricFamily(name, words)
            lag.add_metric([], histogram.buckets(), histogram.total)
            yield lag

    def _requests(self) -> Metric:
        family = CounterMetricFamily(REQUESTS, "Answered requests", labels=["pool", "target_kind", "code"])
        for pool, target in self.targets.items():
            kind = "own" if target.is_own else "external"
            for code, count in list(target.codes.items()):
                family.add_metric([pool, kind, str(code)], count)
        for code, count in list(self.refused.items()):
            family.add_metric(["", "none", str(code)], count)
        return family

    def _gauges(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(IN_FLIGHT, "Requests at an upstream now", labels=["pool"])
        for pool, target in self.targets.items():
            family.add_metric([pool], target.in_flight)
        yield family
        waiting = GaugeMetricFamily(QUEUE_DEPTH, "Requests in the gateway that wait for a place", labels=["pool"])
        for pool, target in self.targets.items():
            if target.is_own:
                waiting.add_metric([pool], target.waiting)
        yield waiting
        replicas = GaugeMetricFamily(REPLICA_IN_FLIGHT, "Requests at a replica now", labels=["replica"])
        for replica, count in self.replica_in_flight().items():
            replicas.add_metric([replica], count)
        yield replicas
        yield GaugeMetricFamily(GATEWAY_IN_FLIGHT, "Requests inside the gateway now", value=self.in_flight)
        yield GaugeMetricFamily(TASKS, "Tasks on the event loop now", value=self.tasks())
        yield GaugeMetricFamily(DRAINING, "1 once told to stop", value=float(self.draining))

    def _demand(self) -> Iterable[Metric]:
        counters: tuple[tuple[str, str, Callable[[TargetMetrics], int]], ...] = (
            (POOL_ARRIVALS, "Requests whose first choice was the pool", lambda target: target.arrivals),
            (POOL_INPUT_TOKENS, "Their prompt tokens, estimated on arrival", lambda target: target.input_tokens),
            (POOL_OUTPUT_TOKENS, "Their answer tokens", lambda target: target.output_tokens),
            (POOL_BOUND, "Those that may not be bought, or whose budget is spent", lambda target: target.bound),
        )
        for name, words, read in counters:
            family = CounterMetricFamily(name, words, labels=["pool"])
            for pool, target in self.targets.items():
                if target.is_own:
                    family.add_metric([pool], read(target))
            yield family
        queued = CounterMetricFamily(QUEUED, "Requests that found no place at once", labels=["pool", "outcome"])
        for pool, target in self.targets.items():
            for outcome, count in list(target.queued.items()):
                queued.add_metric([pool, outcome], count)
        yield queued
        spilled = CounterMetricFamily(SPILLED, "Requests served outside their pool", labels=["pool", "reason"])
        for pool, target in self.targets.items():
            for reason, count in list(target.spilled.items()):
                spilled.add_metric([pool, reason], count)
        yield spilled

    def _served(self) -> Iterable[Metric]:
        tokens = CounterMetricFamily(TOKENS, "Tokens of served requests", labels=["pool", "direction", "cached"])
        attempts = CounterMetricFamily(ATTEMPTS, "Tries by outcome", labels=["pool", "outcome"])
        for pool, target in self.targets.items():
            tokens.add_metric([pool, "input", "false"], target.fresh_input_tokens)
            tokens.add_metric([pool, "input", "true"], target.cached_input_tokens)
            tokens.add_metric([pool, "output", "false"], target.served_output_tokens)
            for outcome, count in list(target.attempts.items()):
                attempts.add_metric([pool, outcome], count)
        yield tokens
        yield attempts
        spend = CounterMetricFamily(SPEND, "Cost of served requests; own at planning prices", labels=["kind"])
        spend.add_metric(["external"], self.spend_nanousd / 1e9)
        spend.add_metric(["own"], self.own_nanousd / 1e9)
        yield spend
        limited = CounterMetricFamily(RATE_LIMITED, "Refused for a limit per minute", labels=["tenant", "kind"])
        for key, count in list(self.limited.items()):
            limited.add_metric(key, count)
        yield limited
        yield from self._repeated()
        yield CounterMetricFamily(CLIENT_LEFT, "Callers who left before their answer was whole", value=self.client_left)

    def _repeated(self) -> Iterable[Metric]:
        by_caller = CounterMetricFamily(CLIENT_RETRIES, "Requests that repeat an earlier one", labels=["retry"])
        for retry, count in zip(("1", "2", "3+"), self.client_retries, strict=True):
            by_caller.add_metric([retry], count)
        yield by_caller
        ours = CounterMetricFamily(RETRIES, "Further tries of requests by where they came from", labels=["budget"])
        for budget, count in list(self.retries.items()):
            ours.add_metric([budget], count)
        yield ours
        copies = CounterMetricFamily(IDEMPOTENT, "Requests with an Idempotency-Key", labels=["outcome"])
        for outcome, count in list(self.idempotent.items()):
            copies.add_metric([outcome], count)
        yield copies


def registry_of(*collectors: Collector) -> CollectorRegistry:
    """A registry of its own with the given collectors and those of the process."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """The text a scrape gets."""
    return generate_latest(registry)
