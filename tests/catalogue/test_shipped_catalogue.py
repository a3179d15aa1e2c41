"""The shipped data: models, providers, prices and GPU shapes, each with its source and date."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest
import yaml

from controller.catalogue.load import load_catalogue, model_rows, provider_rows, step_time_rows
from controller.core.models import SELF_HOSTED

CATALOGUE = load_catalogue()
HOURS_PER_MONTH = 730


def raw(name: str) -> dict[str, Any]:
    """A data file as it is written."""
    text = files("controller.catalogue").joinpath(name).read_text(encoding="utf-8")
    content = yaml.load(text, Loader=yaml.CSafeLoader)
    assert isinstance(content, dict)
    return content


# provider, model id, planning price per 1,000 tokens, tier, capabilities, planned latency in ms
THE_NINE = {
    "gpt-4o-mini": ("openai", "gpt-4o-mini", "0.00015", 1, "text json function_calling", None),
    "gpt-4o": (
        "openai", "gpt-4o", "0.0025", 2, "text json vision complex_reasoning function_calling", (400, 1200),
    ),
    "claude-3-5-sonnet": (
        "anthropic", "claude-3-5-sonnet-20241022", "0.003", 3,
        "text json vision critique complex_reasoning function_calling", (500, 1500),
    ),
    "ft-ux-detector": (
        "openai", "ft:gpt-4o-mini:hitlai:ux-detector:v1", "0.0001", 1, "text json issue_detection", (200, 500),
    ),
    "ft-strategy-planner": (
        "openai", "ft:gpt-4o:hitlai:strategy-planner:v1", "0.002", 2, "text json strategy", (300, 800),
    ),
    "llama-8b-groq": ("groq", "llama-3.1-8b-instant", "0.00005", 1, "text json fast_inference", (50, 150)),
    "llama-8b-self": (SELF_HOSTED, "llama-3.1-8b-instruct", "0.00003", 1, "text json", (100, 300)),
    "mixtral-8x7b-self": (
        SELF_HOSTED, "mixtral-8x7b-instruct", "0.0001", 2, "text json complex_reasoning", (300, 600),
    ),
    "llama-70b-self": (
        SELF_HOSTED, "llama-3.1-70b-instruct", "0.0002", 2, "text json complex_reasoning", (400, 1000),
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", THE_NINE)
def test_the_nine_models(key: str) -> None:
    """Switched on, with what was planned for them."""
    provider, model_id, planning, tier, capabilities, latency_ms = THE_NINE[key]
    model = CATALOGUE.models[key]
    assert (model.key, model.provider, model.model_id, model.tier) == (key, provider, model_id, tier)
    assert model.planning_usd_per_1k_tokens == Decimal(planning)
    assert {str(capability) for capability in model.capabilities} == set(capabilities.split())
    assert model.planning_latency_ms == latency_ms
    assert model.enabled


@pytest.mark.parametrize(
    ("key", "hf_id"),
    [
        ("llama-8b-self", "meta-llama/Llama-3.1-8B-Instruct"),
        ("mixtral-8x7b-self", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
        ("llama-70b-self", "meta-llama/Llama-3.1-70B-Instruct"),
    ],
)
def test_own_models_have_their_weights_and_cost_their_planning_price(key: str, hf_id: str) -> None:
    """In both directions; cached input costs the same."""
    model = CATALOGUE.models[key]
    assert model.is_own
    assert model.architecture is not None
    assert model.architecture.hf_id == hf_id
    planning = (model.planning_usd_per_1k_tokens or 0) * 1000
    price = model.price
    assert price.usd_per_mtok_in == price.usd_per_mtok_out == price.usd_per_mtok_cached_in == planning


@pytest.mark.parametrize(
    ("key", "planning"), [("mixtral-8x7b-together", "0.0002"), ("llama-90b-vision-self", "0.0005")]
)
def test_models_known_but_off(key: str, planning: str) -> None:
    """They can be switched on."""
    model = CATALOGUE.models[key]
    assert not model.enabled
    assert model.planning_usd_per_1k_tokens == Decimal(planning)


@pytest.mark.parametrize(
    ("key", "ended", "successor"),
    [
        ("gpt-4o-mini", date(2027, 1, 14), "gpt-6-luna"),
        ("gpt-4o", date(2027, 1, 14), "gpt-6-terra"),
        ("ft-ux-detector", date(2027, 1, 14), "gpt-6-luna"),
        ("ft-strategy-planner", date(2027, 1, 14), "gpt-6-terra"),
        ("claude-3-5-sonnet", date(2025, 10, 28), "claude-sonnet-5-5"),
        ("llama-8b-groq", date(2026, 8, 16), "gpt-oss-20b-groq"),
        ("mixtral-8x7b-together", date(2026, 4, 16), "gpt-6-terra"),
    ],
)
def test_models_that_end_have_a_successor_that_stays(key: str, ended: date, successor: str) -> None:
    """It is switched on, has no end, and can do what is asked of every model."""
    model = CATALOGUE.models[key]
    assert (model.shutdown_date, model.replaced_by) == (ended, successor)
    heir = CATALOGUE.models[successor]
    assert (heir.shutdown_date, heir.enabled) == (None, True)
    assert {"text", "json"} <= heir.capabilities


def test_all_others_stay() -> None:
    """No successor without an end."""
    for model in CATALOGUE.models.values():
        assert (model.shutdown_date is None) == (model.replaced_by is None), model.key


@pytest.mark.parametrize("key", raw("models.yaml"))
def test_every_model_has_a_dated_price(key: str) -> None:
    """A list price says its source; own models stand at their planning price."""
    written, model = raw("models.yaml")[key], CATALOGUE.models[key]
    assert "as_of" in written
    assert ("source" in written) != model.is_own
    assert model.price.as_of >= date(2025, 1, 1)
    assert model.price.usd_per_mtok_in >= model.price.usd_per_mtok_cached_in > 0


@pytest.mark.parametrize("key", raw("models.yaml"))
def test_every_model_has_a_provider_and_room_for_its_output(key: str) -> None:
    """Its provider is known, its output fits its context."""
    model = CATALOGUE.models[key]
    assert model.is_own or model.provider in CATALOGUE.providers
    assert model.max_output_tokens <= model.context_tokens
    assert model_rows()[key].value(key) == model


@pytest.mark.parametrize("name", raw("providers.yaml"))
def test_every_provider_has_dated_planning_figures(name: str) -> None:
    """With their source; the key's variable is named for the provider."""
    assert {"source", "as_of"} <= raw("providers.yaml")[name].keys()
    provider = CATALOGUE.providers[name]
    assert provider.api_key_env == f"{name.upper()}_API_KEY"
    assert provider.base_url.startswith("https://")
    assert not provider.simulated
    assert provider_rows()[name].value(name) == provider


@pytest.mark.parametrize("instance_type", raw("gpus.yaml"))
def test_every_gpu_shape_has_a_dated_price(instance_type: str) -> None:
    """With its source; memory is below the nominal size."""
    shape = CATALOGUE.gpus[instance_type]
    assert {"source", "as_of"} <= raw("gpus.yaml")[instance_type].keys()
    assert (shape.source, shape.as_of) == ("karpenter-provider-aws pricing, us-east-1 on demand", date(2026, 7, 20))
    nominal_gib = {"a10g": 24, "l4": 24, "l40s": 48, "rtx-pro-6000": 96, "a100-40": 40, "a100-80": 80, "h100": 80}
    assert 0.9 * nominal_gib[shape.gpu] < shape.gpu_memory_gib < nominal_gib[shape.gpu]


@pytest.mark.parametrize(
    ("instance_type", "count", "usd_per_month"),
    [
        ("g5.2xlarge", 2, "1769.52"),
        ("p4d.24xlarge", 1, "16029.07866"),
        ("g5.12xlarge", 1, "4140.56"),
        ("g6e.2xlarge", 1, "1636.7184"),
        ("p4de.24xlarge", 1, "20036.3465"),
        ("p5.48xlarge", 1, "40179.2"),
    ],
)
def test_what_a_month_of_a_node_costs(instance_type: str, count: int, usd_per_month: str) -> None:
    """The whole node, at 730 hours: two g5.2xlarge $1,769.52, one p4d $16,029."""
    assert count * HOURS_PER_MONTH * CATALOGUE.gpus[instance_type].usd_per_hour == Decimal(usd_per_month)


def test_every_row_of_step_times_says_where_it_comes_from() -> None:
    """A fit or an estimate with its reasoning, dated, once per combination, of a model that is there."""
    rows = step_time_rows()
    combinations = [(row.model, row.gpu, row.tensor_parallel, row.weights) for row in rows]
    assert len(set(combinations)) == len(combinations)
    for row in rows:
        assert row.basis == "fit" or row.how
        assert row.as_of >= date(2026, 1, 1)
        assert CATALOGUE.models[row.model].is_own


def test_data_is_read_once_and_cannot_be_changed() -> None:
    """Every caller gets the same frozen catalogue."""
    assert load_catalogue() is CATALOGUE
    with pytest.raises(TypeError):
        CATALOGUE.models["gpt-4o"] = CATALOGUE.models["gpt-4o-mini"]  # type: ignore[index]
