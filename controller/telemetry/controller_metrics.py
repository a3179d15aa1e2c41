"""Every metric of the controller, by name, once. Values of the last tick, and counters of what it did."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.core.fleet import PoolView, ReplicaState, RoutingMode
from controller.core.samples import PoolSample
from controller.telemetry.gateway_metrics import Histogram

TICKS = "spillway_controller_ticks_total"
TICK_DURATION = "spillway_controller_tick_duration_seconds"
REPLICAS = "spillway_pool_replicas"
DESIRED = "spillway_pool_desired_replicas"
MODE = "spillway_pool_routing_mode"
SPILL_RATIO = "spillway_pool_spill_ratio"
SATURATION = "spillway_pool_saturation_ratio"
DEMAND = "spillway_pool_demand_replicas"
BLIND = "spillway_pool_blind"
UNKNOWN = "spillway_pool_unknown_replicas"
GATEWAY_SILENT = "spillway_controller_gateway_silent"
PROVIDER_OUT = "spillway_controller_provider_out"
MISSING = "spillway_pool_missing_replicas"
ACTIONS = "spillway_pool_actions_total"
MODE_CHANGES = "spillway_pool_mode_changes_total"

TICK_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class ControllerMetrics(Collector):
    """All counters of one controller process, and how a scrape renders them."""

    def __init__(self) -> None:
        self.ticks: dict[str, int] = {"done": 0, "failed": 0}
        self.tick_duration = Histogram(TICK_BUCKETS_S)
        self._pools: dict[str, tuple[PoolView, PoolSample | None]] = {}
        self._actions: dict[tuple[str, str], int] = {}
        self._mode_changes: dict[tuple[str, str], int] = {}
        self._providers_out: dict[str, bool] = {}
        self._gateways_silent: dict[str, bool] = {}

    def ticked(self, took_s: float, *, done: bool) -> None:
        """One more tick."""
        self.ticks["done" if done else "failed"] += 1
        self.tick_duration.observe(took_s)

    def acted(self, pool: str, action: str) -> None:
        """A replica was started, drained or removed."""
        self._actions[pool, action] = self._actions.get((pool, action), 0) + 1

    def providers(self, out: Mapping[str, bool]) -> None:
        """Which providers take less than they should."""
        self._providers_out = dict(out)

    def gateways(self, silent: Mapping[str, bool]) -> None:
        """Which gateways have not answered."""
        self._gateways_silent = dict(silent)

    def observed(self, view: PoolView, sample: PoolSample | None) -> None:
        """One pool as of this tick."""
        before = self._pools.get(view.name)
        if before is not None and before[0].mode is not view.mode:
            key = (view.name, view.mode.value)
            self._mode_changes[key] = self._mode_changes.get(key, 0) + 1
        self._pools[view.name] = (view, sample)

    def forget(self, pools: Collection[str]) -> None:
        """These are not in the fleet any more: they have no series."""
        for pool in pools:
            self._pools.pop(pool, None)
            for counts in (self._actions, self._mode_changes):
                for key in [key for key in counts if key[0] == pool]:
                    del counts[key]

    def collect(self) -> Iterable[Metric]:
        """Every family, for `prometheus_client`."""
        ticks = CounterMetricFamily(TICKS, "Ticks by outcome", labels=["outcome"])
        for outcome, count in self.ticks.items():
            ticks.add_metric([outcome], count)
        yield ticks
        duration = HistogramMetricFamily(TICK_DURATION, "Observe, decide, act and publish")
        duration.add_metric([], self.tick_duration.buckets(), self.tick_duration.total)
        yield duration
        yield from self._states()
        yield from self._figures()
        for name, words, label, counts in (
            (ACTIONS, "Replicas started, drained, removed", "action", self._actions),
            (MODE_CHANGES, "Changes of the routing mode, by the new one", "mode", self._mode_changes),
        ):
            family = CounterMetricFamily(name, words, labels=["pool", label])
            for (pool, value), count in counts.items():
                family.add_metric([pool, value], count)
            yield family

    def _states(self) -> Iterable[Metric]:
        replicas = GaugeMetricFamily(REPLICAS, "Replicas by state", labels=["pool", "state"])
        modes = GaugeMetricFamily(MODE, "1 for the routing mode in force", labels=["pool", "mode"])
        for name, (view, _) in self._pools.items():
            for state in ReplicaState:
                replicas.add_metric([name, state.value], view.count(state))
            for mode in RoutingMode:
                modes.add_metric([name, mode.value], float(view.mode is mode))
        yield replicas
        yield modes
        for metric, words, label, facts in (
            (PROVIDER_OUT, "1 while less is counted on than configured", "provider", self._providers_out),
            (GATEWAY_SILENT, "1 while its demand is not known", "gateway", self._gateways_silent),
        ):
            family = GaugeMetricFamily(metric, words, labels=[label])
            for name, is_so in facts.items():
                family.add_metric([name], float(is_so))
            yield family

    def _figures(self) -> Iterable[Metric]:
        readers: tuple[tuple[str, str, Callable[[PoolView, PoolSample | None], float | None]], ...] = (
            (DESIRED, "Replicas wanted", lambda view, _: view.desired_replicas),
            (MISSING, "Replicas that would pay and are not to be had", lambda view, _: float(view.missing_replicas)),
            (SPILL_RATIO, "Share of requests sent elsewhere", lambda view, _: view.spill_ratio),
            (SATURATION, "1 is full", lambda view, _: view.saturation_ratio),
            (DEMAND, "Offered work in replicas", lambda _, sample: sample.demand_replicas if sample else None),
            (BLIND, "1 while nothing could be measured", lambda _, sample: float(sample is None)),
            (UNKNOWN, "Ready, and silent or lying", lambda _, sample: sample.replicas_unknown if sample else None),
        )
        for metric, words, read in readers:
            family = GaugeMetricFamily(metric, words, labels=["pool"])
            for name, (view, sample) in self._pools.items():
                value = read(view, sample)
                if value is not None:
                    family.add_metric([name], value)
            yield family
