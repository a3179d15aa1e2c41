"""Whether an engine can start on a GPU shape: weights + overhead + KV cache against usable memory.

Checked against a measurement: for the 8B on one A10G this gives 4.19 GiB of KV cache, 4.17 were measured.
Called by the configuration check, so that a pool that cannot start is refused with the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from controller.core.models import Architecture, GpuShape
from controller.core.pools import EngineArgs

GIB = 1024**3
KV_BYTES = 2  # the KV cache stays at 16 bits whatever the weights are
_FOUR_BIT = (4 + 20 / 128) / 8  # bytes: 4 bits + a 16-bit scale and a 4-bit zero point per group of 128
_BYTES_PER_PARAMETER = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "awq": _FOUR_BIT, "gptq": _FOUR_BIT}
_OVERHEAD_GIB = 0.92  # activations and CUDA graphs on one GPU: measured on an A10G
_OVERHEAD_PARALLEL_GIB = 2.5  # upper end of 1.5-2.5 per GPU with NCCL buffers: assumed
_DEMO_BELOW_SEQUENCES = 4.0
_GOOD_FROM_SEQUENCES = 13.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The verdict with its figures; `kv_cache_tokens` are of all GPUs of one replica together, 0 without room."""

    fits: bool
    verdict: str  # no | demo only | fits | good
    weights_gib_per_gpu: float
    kv_cache_gib_per_gpu: float
    kv_cache_tokens: int
    sequences_at_max_len: float
    largest_max_model_len_tokens: int
    reason: str
    alternatives: tuple[str, ...] = ()


def weights_bytes(model: Architecture, weights: str) -> float:
    """Size of the weights; 4-bit formats leave the embeddings at 16 bits. Unknown formats count as bf16."""
    per_parameter = _BYTES_PER_PARAMETER.get(weights, 2.0)
    kept = model.embedding_parameters if per_parameter < 1.0 else 0
    return (model.parameters - kept) * per_parameter + kept * 2.0


def kv_bytes_per_token(model: Architecture, tensor_parallel: int = 1) -> int:
    """KV cache bytes of one token on one GPU; heads are replicated when there are fewer heads than GPUs."""
    heads = max(1, model.kv_heads // tensor_parallel)
    return 2 * model.layers * heads * model.head_dim * KV_BYTES


def memory_fit(
    model: Architecture,
    engine: EngineArgs,
    shape: GpuShape,
    *,
    max_model_len_tokens: int,
    shapes: Iterable[GpuShape] = (),
) -> Fit:
    """Whether one replica starts and holds at least one sequence of full length, and what would fit if not."""
    fit = _fit(model, engine, shape, max_model_len_tokens)
    if fit.fits:
        return fit
    return replace(
        fit,
        alternatives=tuple(
            _alternatives(model, replace(engine, max_model_len_tokens=max_model_len_tokens), shape, shapes, fit)
        ),
    )


def _fit(model: Architecture, engine: EngineArgs, shape: GpuShape, max_model_len_tokens: int) -> Fit:
    parallel = engine.tensor_parallel
    overhead_gib = _OVERHEAD_GIB if parallel == 1 else _OVERHEAD_PARALLEL_GIB
    weights_gib = weights_bytes(model, engine.weights) / parallel / GIB
    usable_gib = shape.gpu_memory_gib * engine.gpu_memory_utilization_ratio
    kv_gib = usable_gib - weights_gib - overhead_gib
    tokens = max(0, int(kv_gib * GIB / kv_bytes_per_token(model, parallel)))
    tokens -= tokens % engine.block_size_tokens
    sequences = tokens / max_model_len_tokens
    refusal = _shape_refusal(model, parallel, shape)
    fits = refusal is None and sequences >= 1.0
    sums = (
        f"{shape.gpu_memory_gib:.1f} GiB x {engine.gpu_memory_utilization_ratio:.2f} = {usable_gib:.2f} usable per GPU"
        f" - {weights_gib:.2f} {engine.weights} weights - {overhead_gib:.2f} overhead = {kv_gib:.2f} GiB for KV cache"
        f" = {tokens:,} tokens; one sequence of {max_model_len_tokens:,} tokens needs"
        f" {max_model_len_tokens * kv_bytes_per_token(model, parallel) / GIB:.2f} GiB per GPU"
    )
    return Fit(
        fits=fits,
        verdict=_verdict(fits, sequences),
        weights_gib_per_gpu=weights_gib,
        kv_cache_gib_per_gpu=max(0.0, kv_gib),
        kv_cache_tokens=tokens,
        sequences_at_max_len=sequences,
        largest_max_model_len_tokens=tokens,
        reason=refusal or sums,
    )


def _shape_refusal(model: Architecture, parallel: int, shape: GpuShape) -> str | None:
    if parallel > shape.gpus:
        return f"tensor_parallel {parallel} needs {parallel} GPUs, {shape.instance_type} has {shape.gpus}"
    if model.attention_heads is not None and model.attention_heads % parallel:
        return f"tensor_parallel {parallel} does not divide the {model.attention_heads} attention heads"
    if model.kv_heads % parallel and parallel % model.kv_heads:
        return f"tensor_parallel {parallel} does not divide the {model.kv_heads} KV heads"
    return None


def _verdict(fits: bool, sequences: float) -> str:
    if not fits:
        return "no"
    if sequences < _DEMO_BELOW_SEQUENCES:
        return "demo only"
    return "fits" if sequences < _GOOD_FROM_SEQUENCES else "good"


def _alternatives(
    model: Architecture,
    engine: EngineArgs,
    shape: GpuShape,
    shapes: Iterable[GpuShape],
    fit: Fit,
) -> Iterator[str]:
    """At most one shorter length, three settings on this shape and the two cheapest other shapes, as words."""
    if _shape_refusal(model, engine.tensor_parallel, shape) is None and fit.largest_max_model_len_tokens > 0:
        yield f"max_model_len_tokens <= {fit.largest_max_model_len_tokens}"
    yield from _settings_that_fit(model, engine, shape)[:3]
    others = sorted((other for other in shapes if other != shape), key=lambda other: other.usd_per_hour)
    found = [
        f"{other.instance_type} with {settings[0]}"
        for other in others
        if (settings := _settings_that_fit(model, engine, other))
    ]
    yield from found[:2]


def _settings_that_fit(model: Architecture, engine: EngineArgs, shape: GpuShape) -> list[str]:
    """Weights as asked first, then smaller ones; of each the fewest GPUs that do."""
    words: list[str] = []
    for weights in dict.fromkeys((engine.weights, "bf16", "fp8", "int8", "awq")):
        for parallel in (1, 2, 4, 8):
            candidate = replace(engine, weights=weights, tensor_parallel=parallel)
            fit = _fit(model, candidate, shape, engine.max_model_len_tokens)
            if fit.fits and fit.sequences_at_max_len >= _DEMO_BELOW_SEQUENCES:
                words.append(f"tensor_parallel {parallel}, {weights} weights ({fit.kv_cache_tokens:,} KV tokens)")
                break
    return words
