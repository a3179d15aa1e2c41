"""Every baseline by its name, with its main knob, the knob's default and the values a fair search tries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from controller.replay.baselines.aibrix import (
    aibrix_apa,
    aibrix_apa_mended,
    aibrix_kpa,
    aibrix_kpa_mended,
    aibrix_optimizer,
)
from controller.replay.baselines.cron import cron_hpa
from controller.replay.baselines.dynamo import dynamo_easy, dynamo_sla
from controller.replay.baselines.fixed import all_external, static_best, static_peak
from controller.replay.baselines.hpa import hpa_kv, hpa_queue, hpa_rate
from controller.replay.baselines.inferno import wva_queueing
from controller.replay.baselines.keda import keda_queue, keda_queue_zero
from controller.replay.baselines.knative import knative_kpa, knative_kpa_delayed
from controller.replay.baselines.kubeai import kubeai
from controller.replay.baselines.llmd import wva_v1, wva_v2
from controller.replay.baselines.mark import mark
from controller.replay.baselines.pool_facts import PoolFacts
from controller.replay.baselines.ray_serve import ray_serve
from controller.replay.baselines.sagemaker import sagemaker
from controller.replay.baselines.skyserve import skyserve
from controller.replay.simulation_types import Autoscaler

PROMETHEUS_S = 15.0
KNATIVE_S = 2.0  # its own scraper asks every second, and it looks every two
AIBRIX_S = 10.0  # asks the pods whenever it reconciles
PUSHED_S = 10.0  # by Ray's replicas and handles, to KubeAI by its own proxies at every check
STREAMED_S = 5.0  # Dynamo's engines report every pass; it looks every five seconds
AUTOSCALED = ("none", "naive")  # gateways: plain, and with a fallback route
USES = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.2, 1.35)  # of what a replica bears at its SLO
RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of a gauge that ends at 1
QUEUES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)  # requests waiting
IN_FLIGHT = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 55.0, 75.0, 100.0)  # requests running or waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """One autoscaler that can be made anew for a run."""

    make: Callable[[PoolFacts, float], Autoscaler]
    knob: str
    default: float
    sweep: tuple[float, ...]
    gateways: tuple[str, ...] = AUTOSCALED  # the forms it is run in: none, naive, valve (of `fluid`)
    scrape_s: float = PROMETHEUS_S  # how often its metrics are new

    def __call__(self, facts: PoolFacts, knob: float | None = None) -> Autoscaler:
        """A new one for one run, at its default or at another value of its knob."""
        return self.make(facts, self.default if knob is None else knob)


def _of_use(make: Callable[[PoolFacts, float], Autoscaler], default: float) -> Baseline:
    return Baseline(make=make, knob="target_use_ratio", default=default, sweep=USES)


def _of_kv(
    make: Callable[[PoolFacts, float], Autoscaler],
    default: float,
    knob: str = "target_kv_ratio",
    scrape_s: float = PROMETHEUS_S,
) -> Baseline:
    return Baseline(make=make, knob=knob, default=default, sweep=RATIOS, scrape_s=scrape_s)


def _of_queue(make: Callable[[PoolFacts, float], Autoscaler]) -> Baseline:
    return Baseline(make=make, knob="target_waiting", default=5.0, sweep=QUEUES)


def _of_in_flight(make: Callable[[PoolFacts, float], Autoscaler], default: float) -> Baseline:
    return Baseline(make=make, knob="target_in_flight", default=default, sweep=IN_FLIGHT, scrape_s=PUSHED_S)


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        "static-peak": Baseline(
            make=static_peak, knob="share_of_peak", default=1.0, sweep=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
        ),
        "static-best": Baseline(
            make=static_best,
            knob="share_of_best",
            default=1.0,
            sweep=(0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2),
            gateways=("valve",),
        ),
        "all-external": Baseline(
            make=all_external, knob="share_spilled", default=1.0, sweep=(1.0,), gateways=("none",)
        ),
        "hpa-kv-0.8": _of_kv(hpa_kv, 0.8),
        "hpa-kv-0.5": _of_kv(hpa_kv, 0.5),
        "hpa-queue": _of_queue(hpa_queue),
        "hpa-rate": replace(_of_use(hpa_rate, 0.7), gateways=(*AUTOSCALED, "valve")),
        "keda-queue": _of_queue(keda_queue),
        "keda-queue-zero": _of_queue(keda_queue_zero),
        "knative-kpa": _of_kv(knative_kpa, 0.7, "target_concurrency_ratio", KNATIVE_S),
        "knative-kpa-delayed": _of_kv(knative_kpa_delayed, 0.7, "target_concurrency_ratio", KNATIVE_S),
        "aibrix-apa": _of_kv(aibrix_apa, 0.5, scrape_s=AIBRIX_S),
        "aibrix-apa-mended": _of_kv(aibrix_apa_mended, 0.5, scrape_s=AIBRIX_S),
        "aibrix-kpa": _of_kv(aibrix_kpa, 0.5, scrape_s=AIBRIX_S),
        "aibrix-kpa-mended": _of_kv(aibrix_kpa_mended, 0.5, scrape_s=AIBRIX_S),
        "aibrix-optimizer": _of_use(aibrix_optimizer, 1.0),
        "wva-v1": _of_kv(wva_v1, 0.8, "kv_saturated_ratio"),
        "wva-v2": Baseline(make=wva_v2, knob="up_use_ratio", default=0.85, sweep=USES),
        "wva-queueing": Baseline(
            make=wva_queueing, knob="slo_share", default=1.0, sweep=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
        ),
        "ray-serve": _of_in_flight(ray_serve, 2.0),
        "skyserve": _of_use(skyserve, 0.7),
        "dynamo-easy": Baseline(
            make=dynamo_easy,
            knob="up_kv_ratio",
            default=1.0,
            sweep=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
            scrape_s=STREAMED_S,
        ),
        "dynamo-sla": Baseline(
            make=dynamo_sla, knob="profiled_use_ratio", default=1.0, sweep=USES, scrape_s=STREAMED_S
        ),
        "sagemaker": _of_use(sagemaker, 0.7),
        "kubeai": _of_in_flight(kubeai, 100.0),
        "cron-hpa": _of_use(cron_hpa, 0.7),
        "mark": Baseline(
            make=mark,
            knob="headroom",
            default=1.2,
            sweep=(0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.4),
            gateways=("valve",),
        ),
    }
)
