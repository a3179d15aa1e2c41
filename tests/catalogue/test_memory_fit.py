"""The memory-fit rule against figures worked out by hand and one that was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.catalogue.fit import Fit, kv_bytes_per_token, memory_fit, weights_bytes
from controller.catalogue.load import load_catalogue
from controller.core.models import Architecture
from controller.core.pools import EngineArgs

MODELS = load_catalogue().models
GPUS = load_catalogue().gpus
TINY = Architecture(hf_id="a/b", parameters=1_000_000_000, layers=10, kv_heads=6, head_dim=64, dtype="bf16")


def architecture(key: str) -> Architecture:
    """That of an own model."""
    found = MODELS[key].architecture
    assert found is not None
    return found


@dataclass(frozen=True, slots=True)
class Engine:
    """One replica of a shipped model on a shipped shape."""

    key: str
    weights: str
    parallel: int
    instance_type: str
    ratio: float

    def fit(self, length_tokens: int = 8192) -> Fit:
        """Judged by the rule."""
        engine = EngineArgs(
            weights=self.weights, tensor_parallel=self.parallel, gpu_memory_utilization_ratio=self.ratio
        )
        shape, shapes = GPUS[self.instance_type], GPUS.values()
        return memory_fit(architecture(self.key), engine, shape, max_model_len_tokens=length_tokens, shapes=shapes)


A10G = Engine("llama-8b-self", "bf16", 1, "g5.2xlarge", 0.90)
MIXTRAL_2 = Engine("mixtral-8x7b-self", "bf16", 2, "p4d.24xlarge", 0.92)
MIXTRAL_4 = replace(MIXTRAL_2, parallel=4)
L70B_4 = Engine("llama-70b-self", "bf16", 4, "p4d.24xlarge", 0.92)

# Weights in GiB per GPU; KV tokens in thousands and sequences of 8,192 tokens as ranges, from 2.5 GiB of overhead per
# GPU (what the rule takes) down to 1.5.
VERDICTS = {
    "8b-a10g": (A10G, 14.96, (34, 34), (4.1, 4.2), "fits"),
    "mixtral-2": (MIXTRAL_2, 43.49, (0, 0), (0, 0), "no"),
    "mixtral-4": (MIXTRAL_4, 21.75, (393, 426), (48, 52), "good"),
    "mixtral-fp8-2": (replace(MIXTRAL_2, weights="fp8"), 21.75, (196, 213), (24, 26), "good"),
    "mixtral-awq-2": (replace(MIXTRAL_2, weights="awq"), 11.5, (364, 380), (44, 46), "good"),
    "mixtral-gptq-2": (replace(MIXTRAL_2, weights="gptq"), 11.5, (364, 380), (44, 46), "good"),
    "70b-4": (L70B_4, 32.85, (12, 25), (1.4, 3.1), "demo only"),
    "70b-4-at-95": (replace(L70B_4, ratio=0.95), 32.85, (27, 40), (3.3, 4.9), "demo only"),
    "70b-8": (replace(L70B_4, parallel=8), 16.43, (454, 480), (55, 59), "good"),
    "70b-int8": (replace(L70B_4, weights="int8"), 16.43, (227, 240), (27, 29), "good"),
    "70b-fp8": (replace(L70B_4, weights="fp8"), 16.43, (227, 240), (27, 29), "good"),
    "70b-awq-4": (replace(L70B_4, weights="awq"), 9.3, (321, 334), (39, 41), "good"),
    "70b-awq-2": (replace(L70B_4, weights="awq", parallel=2), 18.6, (99, 106), (12, 13), "fits"),
    "70b-awq-a10g": (replace(L70B_4, weights="awq", instance_type="g5.12xlarge"), 9.3, (114, 128), (14, 16), "good"),
}


@pytest.mark.parametrize(
    ("engine", "gib", "kilotokens", "sequences", "verdict"), list(VERDICTS.values()), ids=list(VERDICTS)
)
def test_the_verdict_table(
    engine: Engine, gib: float, kilotokens: tuple[int, int], sequences: tuple[float, float], verdict: str
) -> None:
    """What fits on the fleet's GPUs, row by row."""
    found = engine.fit()
    assert found.weights_gib_per_gpu == pytest.approx(gib, abs=0.1)
    assert kilotokens[0] <= round(found.kv_cache_tokens / 1000) <= kilotokens[1]
    assert sequences[0] <= found.sequences_at_max_len <= sequences[1]
    assert (found.verdict, found.fits) == (verdict, verdict != "no")
    assert found.largest_max_model_len_tokens == found.kv_cache_tokens


def test_the_8b_on_an_h100_has_the_kv_cache_that_was_measured() -> None:
    """453,104 tokens by the rule, where vLLM 0.26 reported 449,968."""
    found = Engine("llama-8b-self", "bf16", 1, "p5.4xlarge", 0.90).fit(16_384)
    assert found.kv_cache_tokens == pytest.approx(449_968, rel=0.01)


def test_the_measured_kv_cache_of_the_8b_on_an_a10g() -> None:
    """4.19 GiB by the rule, where vLLM reported 4.17 of 20.07 usable, 14.99 of weights, and 4 sequences."""
    found = A10G.fit()
    assert found.kv_cache_gib_per_gpu == pytest.approx(4.19, abs=0.005)
    assert found.kv_cache_gib_per_gpu == pytest.approx(4.17, rel=0.01)
    assert found.weights_gib_per_gpu == pytest.approx(14.99, rel=0.003)
    assert int(found.sequences_at_max_len) == 4
    assert "22.3 GiB x 0.90 = 20.07 usable per GPU" in found.reason
    assert found.alternatives == ()


@pytest.mark.parametrize(("key", "kib"), [("llama-8b-self", 128), ("mixtral-8x7b-self", 128), ("llama-70b-self", 320)])
def test_kv_cache_of_one_token(key: str, kib: int) -> None:
    """Two tensors of layers x heads x dimension at 16 bits."""
    assert kv_bytes_per_token(architecture(key)) == kib * 1024


@pytest.mark.parametrize(("parallel", "heads"), [(1, 6), (2, 3), (6, 1), (8, 1)])
def test_heads_are_shared_out_or_repeated(parallel: int, heads: int) -> None:
    """A GPU holds at least one head."""
    assert kv_bytes_per_token(TINY, parallel) == 2 * 10 * heads * 64 * 2


@pytest.mark.parametrize(
    ("weights", "gib"), [("bf16", 2.0), ("fp8", 1.0), ("int8", 1.0), ("never-heard-of", 2.0), ("awq", 0.815625)]
)
def test_size_of_the_weights(weights: str, gib: float) -> None:
    """Bytes per parameter; 4-bit formats keep embeddings (a fifth here) at 16 bits; unknown ones count as bf16."""
    model = replace(TINY, embedding_parameters=200_000_000)
    assert weights_bytes(model, weights) == pytest.approx(gib * 1_000_000_000)


@pytest.mark.parametrize(
    ("model", "parallel", "instance_type", "reason"),
    [
        (TINY, 2, "g5.2xlarge", "tensor_parallel 2 needs 2 GPUs, g5.2xlarge has 1"),
        (TINY, 4, "p4d.24xlarge", "tensor_parallel 4 does not divide the 6 KV heads"),
        (
            replace(TINY, attention_heads=6),
            4,
            "p4d.24xlarge",
            "tensor_parallel 4 does not divide the 6 attention heads",
        ),
        (replace(TINY, attention_heads=8), 4, "p4d.24xlarge", "tensor_parallel 4 does not divide the 6 KV heads"),
    ],
    ids=["gpus", "heads", "attention-heads", "both"],
)
def test_a_split_that_cannot_be(model: Architecture, parallel: int, instance_type: str, reason: str) -> None:
    """Refused for its own reason, whatever memory there is, and no shorter length is offered."""
    engine = EngineArgs(tensor_parallel=parallel)
    found = memory_fit(model, engine, GPUS[instance_type], max_model_len_tokens=8192)
    assert (found.fits, found.verdict, found.reason) == (False, "no", reason)
    assert not any("max_model_len" in alternative for alternative in found.alternatives)


def test_more_gpus_than_heads_is_fine_when_they_divide() -> None:
    """Then heads are repeated."""
    model = replace(TINY, kv_heads=2)
    assert memory_fit(model, EngineArgs(tensor_parallel=8), GPUS["p4d.24xlarge"], max_model_len_tokens=8192).fits


def test_alternatives_on_this_shape_and_on_the_cheapest_others() -> None:
    """At most three settings here and two other instance types, by price."""
    assert MIXTRAL_2.fit().alternatives == (
        "tensor_parallel 4, bf16 weights (393,216 KV tokens)",
        "tensor_parallel 2, fp8 weights (196,608 KV tokens)",
        "tensor_parallel 2, int8 weights (196,608 KV tokens)",
        "g6e.2xlarge with tensor_parallel 1, awq weights (139,008 KV tokens)",
        "g7e.2xlarge with tensor_parallel 1, fp8 weights (351,376 KV tokens)",
    )


def test_a_shorter_length_is_offered_first() -> None:
    """The longest that the KV cache holds."""
    found = A10G.fit(131_072)
    assert found.alternatives[0] == "max_model_len_tokens <= 34336"
    assert A10G.fit(34_336).fits
    assert "one sequence of 131,072 tokens needs 16.00 GiB per GPU" in found.reason


def test_without_other_shapes_none_is_offered() -> None:
    """And nothing at all where nothing fits."""
    engine = EngineArgs()
    found = memory_fit(architecture("llama-70b-self"), engine, GPUS["g5.2xlarge"], max_model_len_tokens=8192)
    assert (found.fits, found.alternatives) == (False, ())
    assert (found.kv_cache_gib_per_gpu, found.kv_cache_tokens) == (0.0, 0)


@given(
    ratio=st.floats(0.1, 0.98),
    parallel=st.sampled_from([1, 2, 4, 8]),
    weights=st.sampled_from(["bf16", "fp8", "awq"]),
    block_tokens=st.sampled_from([8, 16, 128]),
    length_tokens=st.integers(256, 131_072),
)
def test_tokens_are_whole_blocks_that_fit_beside_the_weights(
    ratio: float, parallel: int, weights: str, block_tokens: int, length_tokens: int
) -> None:
    """The KV cache never takes more than what is left, and a replica that fits holds one full sequence."""
    model, shape = architecture("llama-8b-self"), GPUS["p4d.24xlarge"]
    engine = EngineArgs(
        tensor_parallel=parallel,
        weights=weights,
        gpu_memory_utilization_ratio=ratio,
        block_size_tokens=block_tokens,
    )
    found = memory_fit(model, engine, shape, max_model_len_tokens=length_tokens)
    kv_gib = found.kv_cache_tokens * kv_bytes_per_token(model, parallel) / 1024**3
    assert found.kv_cache_tokens % block_tokens == 0
    assert kv_gib <= found.kv_cache_gib_per_gpu + 1e-9
    assert found.kv_cache_tokens == 0 or kv_gib + found.weights_gib_per_gpu < shape.gpu_memory_gib * ratio
    assert found.fits == (found.kv_cache_tokens >= length_tokens)
