"""Rows of the data files are refused when malformed: by name, with the value and what is allowed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from controller.catalogue.load import step_time_rows
from controller.catalogue.rows import ArchitectureRow, GpuRow, ModelRow, ProviderRow, Row, StepTimesRow

ARCHITECTURE: dict[str, Any] = {
    "hf_id": "acme/own-1b",
    "parameters": 1_000_000_000,
    "layers": 16,
    "kv_heads": 8,
    "head_dim": 64,
}
MODEL: dict[str, Any] = {
    "provider": "openai",
    "model_id": "m",
    "tier": 1,
    "capabilities": ["text"],
    "context_tokens": 8192,
    "max_output_tokens": 4096,
    "usd_per_mtok_in": "0.10",
    "usd_per_mtok_out": "0.40",
}
PROVIDER: dict[str, Any] = {"base_url": "https://api.example.com/v1/", "api_key_env": "EXAMPLE_API_KEY"}
GPU: dict[str, Any] = {
    "gpu": "a10g",
    "gpus": 1,
    "gpu_memory_gib": 22.3,
    "usd_per_hour": 1.2,
    "source": "a list",
    "as_of": date(2026, 7, 20),
}
STEPS: dict[str, Any] = step_time_rows()[0].model_dump()
ROWS: dict[type[Row], dict[str, Any]] = {
    ArchitectureRow: ARCHITECTURE,
    ModelRow: MODEL,
    ProviderRow: PROVIDER,
    GpuRow: GPU,
    StepTimesRow: STEPS,
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_the_rows_below_are_good_as_they_stand(row: type[Row]) -> None:
    """So each refusal is due to its one change."""
    row.model_validate(ROWS[row])


@pytest.mark.parametrize(
    ("row", "name", "value", "allowed"),
    [
        (ModelRow, "tier", 0, "greater than or equal to 1"),
        (ModelRow, "tier", 4, "less than or equal to 3"),
        (ModelRow, "provider", "", "at least 1 character"),
        (ModelRow, "model_id", "m" * 201, "at most 200 characters"),
        (ModelRow, "capabilities", [], "at least 1 item"),
        (ModelRow, "context_tokens", 0, "greater than or equal to 1"),
        (ModelRow, "max_output_tokens", 100_000_001, "less than or equal to 100000000"),
        (ModelRow, "usd_per_mtok_in", "-0.01", "greater than or equal to 0"),
        (ModelRow, "usd_per_mtok_out", 1_000_001, "less than or equal to 1000000"),
        (ModelRow, "usd_per_mtok_cached_in", "NaN", "a finite number"),
        (ModelRow, "as_of", "yesterday", "a valid date"),
        (ModelRow, "colour", "red", "Extra inputs are not permitted"),
        (ArchitectureRow, "parameters", 999_999, "greater than or equal to 1000000"),
        (ArchitectureRow, "layers", True, "a valid integer"),
        (ArchitectureRow, "kv_heads", "8", "a valid integer"),
        (ArchitectureRow, "head_dim", 1025, "less than or equal to 1024"),
        (ArchitectureRow, "dtype", "fp64", "'bf16', 'fp8', 'int8', 'awq' or 'gptq'"),
        (ProviderRow, "dialect", "grpc", "'openai' or 'anthropic'"),
        (ProviderRow, "base_url", "api.example.com", "match pattern"),
        (ProviderRow, "base_url", "https://me:pw@api.example.com/v1", "match pattern"),
        (ProviderRow, "api_key_env", "sk-live-1", "match pattern"),
        (ProviderRow, "requests_per_min", 0, "greater than or equal to 1"),
        (ProviderRow, "ttft_s", 0, "greater than 0"),
        (ProviderRow, "tokens_per_s", 100_001, "less than or equal to 100000"),
        (GpuRow, "gpus", 65, "less than or equal to 64"),
        (GpuRow, "gpu_memory_gib", 0, "greater than 0"),
        (GpuRow, "usd_per_hour", -1, "greater than or equal to 0"),
        (StepTimesRow, "alpha_ms", -1, "greater than or equal to 0"),
        (StepTimesRow, "correction", 2.5, "less than or equal to 2"),
        (StepTimesRow, "kv_cache_tokens", 0, "greater than or equal to 1"),
        (StepTimesRow, "basis", "guess", "'measured', 'fit' or 'estimate'"),
        (StepTimesRow, "weights", "fp4", "'bf16', 'fp8', 'int8', 'awq' or 'gptq'"),
    ],
    ids=lambda part: part.__name__ if isinstance(part, type) else str(part)[:20],
)
def test_a_malformed_value_is_refused(row: type[Row], name: str, value: object, allowed: str) -> None:
    """The error has the name, the value and the allowed range."""
    with pytest.raises(ValidationError) as refused:
        row.model_validate({**ROWS[row], name: value})
    (error,) = refused.value.errors()
    assert error["loc"] == (name,)
    assert error["input"] == value
    assert allowed in error["msg"]


@pytest.mark.parametrize(
    ("row", "change", "words"),
    [
        (ModelRow, {"usd_per_mtok_out": None}, "needs usd_per_mtok_in and usd_per_mtok_out, or planning_usd_per_1k"),
        (ModelRow, {"provider": "self-hosted"}, "a self-hosted model needs its architecture"),
        (ModelRow, {"planning_latency_ms": [500, 200]}, "planning_latency_ms: 500 must not be more than 200"),
        (
            ArchitectureRow,
            {"embedding_parameters": 1_000_000_001},
            "embedding_parameters 1000000001 must not be more than parameters 1000000000",
        ),
        (StepTimesRow, {"basis": "estimate", "how": None}, "estimate: it must say how it was made"),
    ],
    ids=["price", "architecture", "latency", "embeddings", "estimate"],
)
def test_values_that_contradict_each_other_are_refused(row: type[Row], change: dict[str, Any], words: str) -> None:
    """The error says which must agree."""
    with pytest.raises(ValidationError, match=words):
        row.model_validate({**ROWS[row], **change})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_a_row_lacks_nothing_it_needs(row: type[Row]) -> None:
    """Every missing name is told at once."""
    with pytest.raises(ValidationError) as refused:
        row.model_validate({})
    missing = {error["loc"][0] for error in refused.value.errors() if error["type"] == "missing"}
    assert missing == {name for name, field in row.model_fields.items() if field.is_required()} != set()


@pytest.mark.parametrize(
    ("change", "prices"),
    [
        ({}, ("0.10", "0.40", "0.10")),
        ({"usd_per_mtok_cached_in": "0.01"}, ("0.10", "0.40", "0.01")),
        ({"planning_usd_per_1k_tokens": "0.0002"}, ("0.10", "0.40", "0.10")),
        ({"usd_per_mtok_out": None, "planning_usd_per_1k_tokens": "0.0002"}, ("0.10", "0.2", "0.10")),
        ({"usd_per_mtok_in": None, "planning_usd_per_1k_tokens": "0.0002"}, ("0.2", "0.40", "0.2")),
    ],
    ids=["list", "cached", "list-before-planning", "planning-out", "planning-in"],
)
def test_prices_by_list_or_plan(change: dict[str, Any], prices: tuple[str, str, str]) -> None:
    """The planning price stands in where the list price is unsaid; cached input costs as much as fresh if unsaid."""
    price = ModelRow.model_validate({**MODEL, **change}).price()
    found = (price.usd_per_mtok_in, price.usd_per_mtok_out, price.usd_per_mtok_cached_in)
    assert found == tuple(Decimal(text) for text in prices)


def test_a_base_url_loses_its_last_slash() -> None:
    """Paths are put behind it."""
    assert ProviderRow.model_validate(PROVIDER).value("example").base_url == "https://api.example.com/v1"
