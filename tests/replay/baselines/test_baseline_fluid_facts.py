"""The pool of the fluid simulation as an operator would know it, and baselines in that simulation."""

import pytest

from controller.core.pools import EngineArgs
from controller.replay.baselines.fluid_facts import fluid_facts
from controller.replay.baselines.inferno import rate_at_slo_per_s
from controller.replay.baselines.registry import BASELINES
from controller.replay.contest_field import course
from controller.replay.fluid import FluidRun, simulate
from controller.replay.fluid_monitor import FluidMonitor
from controller.replay.fluid_pool import ReplicaShape
from controller.replay.simulation_types import Curve, Outcome
from tests.replay.baselines.baseline_world import economics

SHAPE = ReplicaShape()
FLAT = Curve(name="flat", slot_s=10.0, rates_per_s=[42.0] * 720, kind="synthetic")
STEP = Curve(name="step", slot_s=10.0, rates_per_s=[20.0] * 180 + [100.0] * 540, kind="synthetic")


def test_where_work_waits_no_replica_is_idle() -> None:
    """Replicas that come to a queue show a full cache at once: monitoring never sees both a queue and idle replicas."""
    monitor = FluidMonitor(SHAPE, 10.0, 10.0, 15.0)
    monitor.add(100.0, 100.0, 0.0, 2.0)
    monitor.scrape(0.0, ready=5, served_now=100.0, backlog=40.0)
    assert monitor.seen.kv_usage_ratio == pytest.approx(SHAPE.kv_usage_at_slo_ratio)
    assert monitor.seen.waiting == 40.0


def outcome(name: str, curve: Curve, gateway: str = "none", knob: float | None = None) -> Outcome:
    """One baseline over one curve, starting with what the first slot needs."""
    policy = BASELINES[name](fluid_facts(economics(), SHAPE, curve), knob)
    return simulate(curve, economics(), policy, seed=1, run=FluidRun(gateway=gateway, shape=SHAPE, noise=False))


def test_steps_agree_with_the_rate_at_the_slo() -> None:
    """The queueing model, given those step times, finds the rate that the fluid pool has."""
    facts = fluid_facts(economics(), SHAPE, FLAT)
    assert facts.hindsight is FLAT
    rate = rate_at_slo_per_s(facts, round(SHAPE.input_tokens), round(SHAPE.output_tokens))
    assert rate == pytest.approx(10.0, rel=0.05)


def test_engine_arguments_are_the_pools_own() -> None:
    """Slots and token budget are those said; in a contest those of the course's pool."""
    own = fluid_facts(economics(), SHAPE, engine=EngineArgs(max_num_seqs=32, max_num_batched_tokens=512))
    assert (own.max_num_seqs, own.max_num_batched_tokens) == (32, 512)
    contested = course("step2x", "70b-4xa100", "frontier", 4).facts
    assert (contested.max_num_seqs, contested.max_num_batched_tokens) == (256, 448)


@pytest.mark.parametrize(
    "name",
    ["static-peak", "hpa-rate", "knative-kpa", "aibrix-optimizer", "wva-v2", "skyserve", "dynamo-sla",
     "sagemaker", "cron-hpa", "mark"],
)  # fmt: skip
def test_steady_demand_is_borne(name: str) -> None:
    """Where nothing changes, the sound ones serve everything in time with five replicas to eight."""
    run = outcome(name, FLAT)
    assert run.attained_ratio > 0.99
    assert 5 <= run.peak_replicas <= 8


def test_weak_spots_show() -> None:
    """A step to five times the demand: the known faults cost what their description says.

    The rate is followed within a cold start. One replica at a time (V1, easy mode) is slower; KPA as coded never goes
    above two; APA orders over again. KV use is low until it is full, and the queue is empty until it is late: both let
    go of replicas that steady demand needs.
    """
    late = {
        name: 1 - outcome(name, STEP).attained_ratio for name in ("hpa-rate", "wva-v1", "dynamo-easy", "aibrix-kpa")
    }
    assert late["hpa-rate"] < late["wva-v1"]
    assert late["hpa-rate"] < late["dynamo-easy"]
    assert late["aibrix-kpa"] > 0.5
    assert outcome("aibrix-kpa", STEP).peak_replicas <= 3
    assert outcome("aibrix-apa", STEP).peak_replicas > outcome("aibrix-apa-mended", STEP).peak_replicas
    assert outcome("hpa-kv-0.8", FLAT).attained_ratio < 0.9
    assert outcome("keda-queue", FLAT).attained_ratio < 0.99


def test_naive_spill_helps_the_late_and_costs() -> None:
    """With a fallback route more requests are in time, at the provider's price."""
    plain, spilled = outcome("hpa-rate", STEP), outcome("hpa-rate", STEP, "naive")
    assert spilled.attained_ratio > plain.attained_ratio
    assert spilled.spill_usd > 0
