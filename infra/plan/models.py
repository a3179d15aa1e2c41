"""Whether each model starts on its pool: the arithmetic of `controller.catalogue`, model by model."""

from __future__ import annotations

from collections.abc import Iterator

from controller.catalogue import load_catalogue, memory_fit
from controller.catalogue.document import Document
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from controller.core.models import Architecture, GpuShape
from controller.core.pools import EngineArgs
from infra.checks.models import own_models, splits
from infra.plan.values import ModelRow
from infra.regions import load_region, region_names
from infra.schema import ModelSettings, StackSettings


def model_rows(settings: StackSettings) -> tuple[ModelRow, ...]:
    """Models that are known, on pools that are known, in the order of the settings."""
    return tuple(
        _row(settings, name, placed, architecture, shape)
        for name, placed in settings.models.items()
        if (architecture := _architecture(placed)) is not None and (shape := _shape(settings, placed)) is not None
    )


def _architecture(placed: ModelSettings) -> Architecture | None:
    model = own_models().get(placed.model)
    return None if model is None else model.architecture


def _shape(settings: StackSettings, placed: ModelSettings) -> GpuShape | None:
    pool = settings.gpu_pools.get(placed.pool)
    return None if pool is None else load_catalogue().gpus.get(pool.instance_type)


def _row(
    settings: StackSettings, name: str, placed: ModelSettings, architecture: Architecture, shape: GpuShape
) -> ModelRow:
    engine = EngineArgs(
        tensor_parallel=placed.tensor_parallel,
        max_model_len_tokens=placed.max_model_len_tokens,
        max_num_seqs=placed.max_num_seqs,
        gpu_memory_utilization_ratio=placed.gpu_memory_utilization_ratio,
        weights=placed.dtype,
    )
    fit = memory_fit(
        architecture, engine, shape, max_model_len_tokens=placed.max_model_len_tokens, shapes=_offered(settings.region)
    )
    return ModelRow(
        name=name,
        model=placed.model,
        pool=placed.pool,
        instance_type=shape.instance_type,
        tensor_parallel=placed.tensor_parallel,
        dtype=placed.dtype,
        replicas=placed.replicas,
        max_model_len_tokens=placed.max_model_len_tokens,
        weights_gib_per_gpu=fit.weights_gib_per_gpu,
        kv_cache_gib_per_gpu=fit.kv_cache_gib_per_gpu,
        kv_cache_tokens=fit.kv_cache_tokens,
        sequences=fit.sequences_at_max_len,
        fits=fit.fits,
        verdict=fit.verdict,
        reason=fit.reason,
        alternatives=fit.alternatives,
    )


def _offered(region: str) -> list[GpuShape]:
    """GPU shapes of the region: what is recommended in place of another one must be there."""
    shapes = load_catalogue().gpus.values()
    if region not in region_names():
        return list(shapes)
    return [shape for shape in shapes if shape.instance_type in load_region(region).offerings]


def fit_problems(settings: StackSettings, rows: tuple[ModelRow, ...], document: Document) -> Iterator[Problem]:
    """Engines that cannot start, with the arithmetic and what would fit. Splits that cannot be are told elsewhere."""
    for row in rows:
        architecture, shape = _architecture(settings.models[row.name]), load_catalogue().gpus[row.instance_type]
        cannot_be = architecture is None or not splits(architecture, row.tensor_parallel)
        if row.fits or cannot_be or row.tensor_parallel > shape.gpus:
            continue
        short = row.kv_cache_tokens > 0
        key = "max_model_len_tokens" if short else "tensor_parallel"
        value = row.max_model_len_tokens if short else row.tensor_parallel
        message = (
            f"{row.model} does not fit {row.instance_type} with tensor_parallel {row.tensor_parallel}: {row.reason}"
        )
        allowed = "; or ".join(row.alternatives) or "a smaller model or larger GPUs"
        yield problem_at(document, ("models", row.name, key), message, allowed, value)
