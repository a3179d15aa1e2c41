"""Reads the packaged YAML files once per process; called by `controller.config` and the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml
from pydantic import TypeAdapter

from controller.catalogue.fit import kv_bytes_per_token, memory_fit, weights_bytes
from controller.catalogue.rows import GpuRow, ModelRow, ProviderRow, StepTimesRow
from controller.core.models import GpuShape, Model, Provider, StepTimes
from controller.core.pools import EngineArgs

_REFERENCE = "llama-8b-self"  # has step times on every GPU of gpus.yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Models by key, providers by name, GPU shapes by instance type."""

    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    gpus: Mapping[str, GpuShape]


def _document(name: str) -> object:
    text = files("controller.catalogue").joinpath(name).read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe either way, the C one is faster


@cache
def model_rows() -> Mapping[str, ModelRow]:
    """Rows of models.yaml by key: what a user's `models:` section is laid over."""
    return MappingProxyType(TypeAdapter(dict[str, ModelRow]).validate_python(_document("models.yaml")))


@cache
def provider_rows() -> Mapping[str, ProviderRow]:
    """Rows of providers.yaml by name: what a user's `providers:` section is laid over."""
    return MappingProxyType(TypeAdapter(dict[str, ProviderRow]).validate_python(_document("providers.yaml")))


@cache
def load_catalogue() -> Catalogue:
    """Everything shipped, as frozen values."""
    gpus = TypeAdapter(dict[str, GpuRow]).validate_python(_document("gpus.yaml"))
    return Catalogue(
        models=MappingProxyType({key: row.value(key) for key, row in model_rows().items()}),
        providers=MappingProxyType({name: row.value(name) for name, row in provider_rows().items()}),
        gpus=MappingProxyType({kind: row.value(kind) for kind, row in gpus.items()}),
    )


@cache
def step_time_rows() -> tuple[StepTimesRow, ...]:
    """Rows of step_times.yaml with their provenance."""
    rows = TypeAdapter(dict[str, tuple[StepTimesRow, ...]]).validate_python(_document("step_times.yaml"))
    return rows["rows"]


def step_times(model_key: str, gpu: str, tensor_parallel: int, weights: str) -> StepTimes:
    """The fit for exactly this combination; LookupError names the combinations there are."""
    wanted = (gpu, tensor_parallel, weights)
    known: list[str] = []
    for row in step_time_rows():
        if row.model != model_key:
            continue
        if (row.gpu, row.tensor_parallel, row.weights) == wanted:
            return row.value()
        known.append(f"{row.gpu} TP={row.tensor_parallel} {row.weights}")
    there_are = ", ".join(known) or f"none (models with step times: {', '.join(_models_with_step_times())})"
    message = f"no step times for {model_key} on {gpu} TP={tensor_parallel} {weights}; known: {there_are}"
    raise LookupError(message)


def _models_with_step_times() -> list[str]:
    return sorted({row.model for row in step_time_rows()})


def scaled_step_times(model: Model, engine: EngineArgs, shape: GpuShape) -> StepTimes:
    """An estimate for a combination without a fit: the 8B on the same GPU, scaled; LookupError without one.

    Decode time follows the bytes of weights per GPU, prefill the parameters per GPU, attention the KV bytes per GPU.
    """
    reference = load_catalogue().models[_REFERENCE]
    steps = step_times(_REFERENCE, shape.gpu, 1, "bf16")
    if model.architecture is None or reference.architecture is None:
        message = f"{model.key} has no architecture to scale step times by"
        raise LookupError(message)
    parallel = engine.tensor_parallel
    weights = (
        weights_bytes(model.architecture, engine.weights) / parallel / weights_bytes(reference.architecture, "bf16")
    )
    compute = model.architecture.parameters / parallel / reference.architecture.parameters
    cache_ = kv_bytes_per_token(model.architecture, parallel) / kv_bytes_per_token(reference.architecture)
    return replace(
        steps,
        alpha_ms=steps.alpha_ms * weights,
        beta_ms_per_seq=steps.beta_ms_per_seq * compute,
        gamma_ms_per_1k_context=steps.gamma_ms_per_1k_context * cache_,
        p0_ms=steps.p0_ms * weights,
        p1_ms_per_1k=steps.p1_ms_per_1k * compute,
        p2_ms_per_1k_sq=steps.p2_ms_per_1k_sq * cache_,
        overlap_ms=steps.overlap_ms * weights,
        mixed_gamma_ms_per_1k_context=steps.mixed_gamma_ms_per_1k_context * cache_,
    )


def pool_step_times(model: Model, engine: EngineArgs, shape: GpuShape) -> tuple[StepTimes, bool]:
    """Step times of a pool with the KV capacity of its own engine arguments, and whether they are scaled guesses."""
    try:
        steps, scaled = step_times(model.key, shape.gpu, engine.tensor_parallel, engine.weights), False
    except LookupError:
        steps, scaled = scaled_step_times(model, engine, shape), True
    if model.architecture is None:
        return steps, scaled
    fit = memory_fit(model.architecture, engine, shape, max_model_len_tokens=engine.max_model_len_tokens)
    return replace(steps, kv_cache_tokens=fit.kv_cache_tokens) if fit.fits else steps, scaled
