"""Step times: exact rows, those of the default pools, and the scaled fall-back."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from controller.catalogue.load import (
    load_catalogue,
    pool_step_times,
    scaled_step_times,
    step_time_rows,
    step_times,
)
from controller.catalogue.rows import StepTimesRow
from controller.config.load import load_settings
from controller.core.pools import EngineArgs

CATALOGUE = load_catalogue()
MODELS, GPUS = CATALOGUE.models, CATALOGUE.gpus


def test_a_row_is_found_by_model_gpu_parallelism_and_weights() -> None:
    """Its coefficients alone."""
    found = step_times("llama-8b-self", "h100", 1, "bf16")
    assert (found.alpha_ms, found.correction, found.p1_ms_per_1k) == (6.5285, 1.0, 21.2564)
    assert all(
        step_times(row.model, row.gpu, row.tensor_parallel, row.weights) == row.value() for row in step_time_rows()
    )


@pytest.mark.parametrize(
    ("key", "gpu", "words"),
    [
        ("llama-70b-self", "l4", "no step times for llama-70b-self on l4 TP=1 bf16; known: h100 TP=4 bf16, "),
        (
            "gpt-4o",
            "l4",
            "known: none (models with step times: llama-70b-self, llama-8b-self, mixtral-8x7b-self)",
        ),
    ],
    ids=["other-gpu", "other-model"],
)
def test_a_combination_without_a_row_names_those_there_are(key: str, gpu: str, words: str) -> None:
    """LookupError."""
    with pytest.raises(LookupError) as missing:
        step_times(key, gpu, 1, "bf16")
    assert words in str(missing.value)


@pytest.mark.parametrize(
    ("name", "alpha_ms", "kv_cache_tokens"),
    [("llama-8b", 31.5, 34_336), ("mixtral-8x7b", 12.18, 393_216), ("llama-70b", 18.22, 227_024)],
)
def test_the_default_pools_have_rows_of_their_own(name: str, alpha_ms: float, kv_cache_tokens: int) -> None:
    """Not scaled; the KV capacity is that of the pool's own engine arguments."""
    settings = load_settings(None, {}, today=date(2026, 11, 5))
    pool = settings.pools[name]
    steps, scaled = pool_step_times(MODELS[pool.model], pool.engine, GPUS[pool.instance_type])
    assert not scaled
    assert settings.step_times[name] == steps
    assert (steps.alpha_ms, steps.kv_cache_tokens) == (alpha_ms, kv_cache_tokens)


@pytest.mark.parametrize(
    ("name", "single_tokens_per_s"),
    [("llama-8b", (25, 35)), ("mixtral-8x7b", (80, 120)), ("llama-70b", (55, 75))],
)
def test_one_stream_of_a_default_pool_has_a_believable_speed(name: str, single_tokens_per_s: tuple[int, int]) -> None:
    """About 29 tokens/s were measured for an 8B on an A10G."""
    steps = load_settings(None, {}, today=date(2026, 11, 5)).step_times[name]
    assert single_tokens_per_s[0] < 1 / steps.step_s(1, 1000, 0) < single_tokens_per_s[1]


PEAK_TFLOPS = {  # dense bf16, of the data sheets
    "h100": 989, "h200": 989, "a100-80": 312, "a100-40": 312, "l40s": 362, "a10g": 70, "l4": 121, "rtx-pro-6000": 503,
}  # fmt: skip
ACTIVE_PARAMETERS = {"llama-8b-self": 6.98e9, "llama-70b-self": 68.5e9, "mixtral-8x7b-self": 12.6e9}  # no embeddings
STRAIGHT_LINES = {("llama-8b-self", "a100-80"), ("llama-8b-self", "a100-40"), ("llama-70b-self", "a100-80"),
                  ("llama-70b-self", "a100-40")}  # fmt: skip


@pytest.mark.parametrize(
    "row",
    step_time_rows(),
    ids=[f"{row.model} {row.gpu} TP{row.tensor_parallel} {row.weights}" for row in step_time_rows()],
)
def test_no_row_computes_prompts_faster_than_its_card_can(row: StepTimesRow) -> None:
    """Prompts of 512 tokens do at most two thirds of the peak, as was measured on an H100: in steps of one beside 40
    answers, and in full ones of 8,192 tokens but for the fits of A100 (see step_times.yaml).
    """
    steps, prompt = row.value(), 512
    peak = 1e12 * PEAK_TFLOPS[row.gpu] * row.tensor_parallel
    for prompts, answers, context in ((1, 40, 50_400), (16, 1, 1000)):
        if prompts > 1 and (row.model, row.gpu) in STRAIGHT_LINES:
            continue
        tokens = prompts * prompt
        seconds = steps.step_s(answers, context, tokens, prompts * prompt**2)
        assert 2 * ACTIVE_PARAMETERS[row.model] * (tokens + answers) / seconds < 0.67 * peak


@pytest.mark.parametrize("instance_type", GPUS)
def test_every_gpu_has_the_row_that_others_are_scaled_from(instance_type: str) -> None:
    """So that any own model gets step times on any shape."""
    shape = GPUS[instance_type]
    steps, scaled = pool_step_times(MODELS["llama-90b-vision-self"], EngineArgs(), shape)
    assert scaled
    assert steps.alpha_ms > step_times("llama-8b-self", shape.gpu, 1, "bf16").alpha_ms


def test_scaling_the_reference_to_itself_changes_nothing() -> None:
    """Every ratio is one."""
    scaled = scaled_step_times(MODELS["llama-8b-self"], EngineArgs(), GPUS["g5.2xlarge"])
    assert scaled == step_times("llama-8b-self", "a10g", 1, "bf16")


@pytest.mark.parametrize(
    ("engine", "weights", "compute", "cache"),
    [
        (EngineArgs(), 1, 1, 1),
        (EngineArgs(tensor_parallel=2), 1 / 2, 1 / 2, 1 / 2),
        (EngineArgs(tensor_parallel=8), 1 / 8, 1 / 8, 1 / 8),
        (EngineArgs(weights="fp8"), 1 / 2, 1, 1),
        (EngineArgs(weights="int8", tensor_parallel=4), 1 / 8, 1 / 4, 1 / 4),
    ],
    ids=["same", "two-gpus", "eight-gpus", "fp8", "int8-on-four"],
)
def test_times_scale_with_what_they_depend_on(engine: EngineArgs, weights: float, compute: float, cache: float) -> None:
    """Decoding with the bytes of weights per GPU, prefill with the parameters, attention with the KV bytes."""
    reference = step_times("llama-8b-self", "a100-40", 1, "bf16")
    scaled = scaled_step_times(MODELS["llama-8b-self"], engine, GPUS["p4d.24xlarge"])
    assert scaled.alpha_ms == pytest.approx(reference.alpha_ms * weights)
    assert scaled.p0_ms == pytest.approx(reference.p0_ms * weights)
    assert scaled.beta_ms_per_seq == pytest.approx(reference.beta_ms_per_seq * compute)
    assert scaled.p1_ms_per_1k == pytest.approx(reference.p1_ms_per_1k * compute)
    assert scaled.gamma_ms_per_1k_context == pytest.approx(reference.gamma_ms_per_1k_context * cache)
    assert scaled.p2_ms_per_1k_sq == pytest.approx(reference.p2_ms_per_1k_sq * cache)
    assert scaled.correction == reference.correction


def test_scaling_comes_near_a_measured_fit() -> None:
    """The 70B on four A100-80: decode and prefill within a half of the fit, which the 8B never saw."""
    fit = step_times("llama-70b-self", "a100-80", 4, "bf16")
    scaled = scaled_step_times(MODELS["llama-70b-self"], EngineArgs(tensor_parallel=4), GPUS["p4de.24xlarge"])
    assert scaled.step_s(8, 8000, 0) == pytest.approx(fit.step_s(8, 8000, 0), rel=0.5)
    assert scaled.step_s(0, 0, 2000) == pytest.approx(fit.step_s(0, 0, 2000), rel=0.5)


def test_a_model_without_architecture_cannot_be_scaled() -> None:
    """Bought models have none."""
    with pytest.raises(LookupError, match="gpt-4o has no architecture to scale step times by"):
        scaled_step_times(MODELS["gpt-4o"], EngineArgs(), GPUS["g5.2xlarge"])


def test_a_gpu_without_reference_cannot_be_scaled_from() -> None:
    """The message names the GPUs there are."""
    shape = replace(GPUS["g5.2xlarge"], gpu="tpu")
    with pytest.raises(LookupError, match="no step times for llama-8b-self on tpu"):
        scaled_step_times(MODELS["llama-8b-self"], EngineArgs(), shape)


def test_the_kv_capacity_of_the_row_stands_where_nothing_else_is_known() -> None:
    """Without an architecture, or where the engine would not start."""
    row = step_times("llama-8b-self", "a10g", 1, "bf16")
    bare = replace(MODELS["llama-8b-self"], architecture=None)
    assert pool_step_times(bare, EngineArgs(), GPUS["g5.2xlarge"]) == (row, False)
    too_long = EngineArgs(max_model_len_tokens=131_072)
    assert pool_step_times(MODELS["llama-8b-self"], too_long, GPUS["g5.2xlarge"]) == (row, False)
