"""One ModelPool as a `Pool`: spec in CRD units into the values that the rest of the program knows."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pydantic import ValidationError

from controller.catalogue.document import Document
from controller.catalogue.refusals import from_validation
from controller.core.errors import Problem
from controller.core.pools import EngineArgs, Pool, ScalePolicy, Slo, SpillPolicy
from controller.modelpool.objects import Json, part
from controller.modelpool.schema import AutoscalePart, EnginePart, PoolSpec, ReplicasPart, SpillPart

SPEC = ("spec",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A pool as its object describes it. `says_budget`: whether the object names a token budget."""

    pool: Pool
    deployment: str
    port: int
    says_budget: bool


def translated(name: str, source: Json, document: Document) -> tuple[Translated | None, tuple[Problem, ...]]:
    """The pool, or what is wrong with the form of its spec."""
    try:
        spec = PoolSpec.model_validate(dict(part(source, "spec")))
    except ValidationError as error:
        return None, from_validation(error, PoolSpec, document, SPEC)
    found = Translated(
        pool=_pool(name, spec),
        deployment=spec.scale_target_ref.name,
        port=spec.engine.port,
        says_budget=spec.engine.max_num_batched_tokens is not None,
    )
    return found, ()


def _pool(name: str, spec: PoolSpec) -> Pool:
    return Pool(
        name=name,
        model=spec.model,
        instance_type=spec.instance_type,
        engine=_engine(spec.engine),
        slo=Slo(ttft_p95_s=spec.slo.ttft_p95_milliseconds / 1000, tpot_p95_s=spec.slo.tpot_p95_milliseconds / 1000),
        scale=_scale(spec.replicas, spec.autoscale),
        spill=_spill(spec.spill),
        node_pool=spec.node_pool,
    )


def _engine(engine: EnginePart) -> EngineArgs:
    tokens = engine.max_num_batched_tokens
    return EngineArgs(
        tensor_parallel=engine.tensor_parallel,
        max_model_len_tokens=engine.max_model_len_tokens,
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=EngineArgs().max_num_batched_tokens if tokens is None else tokens,
        gpu_memory_utilization_ratio=engine.gpu_memory_utilization_percent / 100,
        weights=engine.weights.lower(),
        block_size_tokens=engine.block_size_tokens,
    )


def _scale(replicas: ReplicasPart, autoscale: AutoscalePart) -> ScalePolicy:
    return ScalePolicy(
        min_replicas=replicas.min,
        max_replicas=replicas.max,
        home_use_ratio=autoscale.home_use_percent / 100,
        start_patience_ratio=autoscale.start_patience_percent / 100,
        target_utilization_ratio=autoscale.target_utilization_percent / 100,
        cold_start_s=float(autoscale.cold_start_seconds),
        scale_down_cooldown_s=float(autoscale.scale_down_cooldown_seconds),
        drain_deadline_s=float(autoscale.drain_deadline_seconds),
        max_actions_per_hour=autoscale.max_actions_per_hour,
    )


def _spill(spill: SpillPart) -> SpillPolicy:
    return SpillPolicy(
        to=spill.to,
        enter_saturation_ratio=spill.enter_saturation_percent / 100,
        exit_saturation_ratio=spill.exit_saturation_percent / 100,
        min_dwell_s=float(spill.min_dwell_seconds),
        return_ramp_ratio_per_s=spill.return_ramp_percent_per_second / 100,
        max_usd_per_hour=None if spill.max_usd_per_hour is None else Decimal(spill.max_usd_per_hour),
    )
