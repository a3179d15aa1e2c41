"""What spillway.yaml makes of itself when nothing is wrong with it, and what holds without it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from config_files import KEYS, TODAY, Check, Load, errors_of

from controller.config.build import gateway_of
from controller.config.load import load_settings
from controller.config.schema import Config, ControllerSection, GatewaySection
from controller.config.settings import ControllerSettings, GatewaySettings
from controller.core.models import Capability, Dialect
from controller.core.requests import Complexity, Phase
from controller.routing.phases import DEFAULT_RULES, Rule, RuleTable

OWN = """\
models:
  own:
    provider: self-hosted
    model_id: own-1b
    tier: 1
    capabilities: [text, json]
    context_tokens: 8192
    max_output_tokens: 4096
    planning_usd_per_1k_tokens: 0.00001
    architecture: {hf_id: acme/own-1b, parameters: 1000000000, layers: 16, kv_heads: 8, head_dim: 64}
pools:
  - {name: own, model: own, spill: {to: [gpt-6-luna]}}
"""


def test_without_a_file_the_default_pools_stand() -> None:
    """Three pools that fit their GPUs, with measured or estimated step times, in phase 1."""
    settings = load_settings(None, KEYS, today=TODAY)
    assert settings.phase is Phase.PHASE1
    assert {name: (pool.model, pool.instance_type) for name, pool in settings.pools.items()} == {
        "llama-8b": ("llama-8b-self", "g5.2xlarge"),
        "mixtral-8x7b": ("mixtral-8x7b-self", "p4d.24xlarge"),
        "llama-70b": ("llama-70b-self", "p4d.24xlarge"),
    }
    assert set(settings.step_times) == set(settings.pools)
    assert settings.rules is DEFAULT_RULES
    assert (settings.file, settings.state_dir) == (None, Path(".spillway"))
    assert (settings.gateway, settings.controller) == (GatewaySettings(), ControllerSettings())


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("today", [date(2026, 11, 5), date(2027, 1, 14), date(2030, 1, 1)], ids=str)
def test_the_defaults_are_good_in_every_phase_and_year(phase: Phase, today: date, problems_of: Check) -> None:
    """Models that end are warnings, never a refusal."""
    assert errors_of(problems_of("", {"AI_PHASE": phase.value}, today)) == []


def test_the_schema_and_the_settings_have_the_same_defaults() -> None:
    """The two places that say them agree."""
    assert gateway_of(GatewaySection()) == GatewaySettings()
    assert ControllerSettings(**ControllerSection().model_dump()) == ControllerSettings()
    assert (Config().standin_port, Config().simulated_cold_start_s) == (8090, 3.0)


def test_the_same_pool_comes_of_one_written_out_in_full(settings_of: Load) -> None:
    """Every key of a pool reaches its value."""
    pool = settings_of(
        """\
pools:
  - name: a
    model: llama-8b-self
    instance_type: g6e.2xlarge
    engine:
      tensor_parallel: 1
      max_model_len_tokens: 4096
      max_num_seqs: 32
      max_num_batched_tokens: 1024
      gpu_memory_utilization_ratio: 0.8
      weights: fp8
      block_size_tokens: 32
    slo: {ttft_p95_s: 1.5, tpot_p95_s: 0.05}
    replicas: {min: 0, max: 7}
    autoscale:
      {home_use_ratio: 0.4, start_patience_ratio: 2.5, target_utilization_ratio: 0.7, cold_start_s: 60,
       scale_down_cooldown_s: 90, drain_deadline_s: 30}
    spill:
      to: [gpt-6-luna, gpt-6-terra]
      enter_saturation_ratio: 1.2
      exit_saturation_ratio: 0.4
      min_dwell_s: 5
      return_ramp_ratio_per_s: 0.1
      max_usd_per_hour: 2.5
    model_dir: /models/llama
"""
    ).pools["a"]
    engine, scale, spill = pool.engine, pool.scale, pool.spill
    assert (pool.name, pool.instance_type, pool.endpoints, pool.model_dir) == ("a", "g6e.2xlarge", (), "/models/llama")
    assert (engine.tensor_parallel, engine.max_model_len_tokens, engine.max_num_seqs) == (1, 4096, 32)
    assert (engine.max_num_batched_tokens, engine.gpu_memory_utilization_ratio) == (1024, 0.8)
    assert (engine.weights, engine.block_size_tokens) == ("fp8", 32)
    assert (pool.slo.ttft_p95_s, pool.slo.tpot_p95_s) == (1.5, 0.05)
    assert (scale.min_replicas, scale.max_replicas, scale.target_utilization_ratio) == (0, 7, 0.7)
    assert (scale.cold_start_s, scale.scale_down_cooldown_s, scale.drain_deadline_s) == (60, 90, 30)
    assert (scale.home_use_ratio, scale.start_patience_ratio) == (0.4, 2.5)
    assert spill.to == ("gpt-6-luna", "gpt-6-terra")
    assert (spill.enter_saturation_ratio, spill.exit_saturation_ratio) == (1.2, 0.4)
    assert (spill.min_dwell_s, spill.return_ramp_ratio_per_s) == (5, 0.1)
    assert spill.max_usd_per_hour == Decimal("2.5")


def test_a_pool_that_says_no_token_budget_has_the_one_that_keeps_its_tpot(settings_of: Load) -> None:
    """It follows the SLO; what the file says stands; engines that run already have vLLM's."""
    pools = settings_of(
        """\
pools:
  - {name: slow, model: llama-8b-self, instance_type: g6e.2xlarge, slo: {tpot_p95_s: 0.2}}
  - {name: fast, model: llama-8b-self, instance_type: g6e.2xlarge, slo: {tpot_p95_s: 0.05}}
  - {name: said, model: llama-8b-self, instance_type: g6e.2xlarge, engine: {max_num_batched_tokens: 4096}}
  - {name: fixed, model: llama-8b-self, instance_type: g6e.2xlarge, endpoints: ['http://127.0.0.1:8001']}
"""
    ).pools
    budgets = {name: pool.engine.max_num_batched_tokens for name, pool in pools.items()}
    assert (budgets["said"], budgets["fixed"]) == (4096, 2048)
    assert 64 <= budgets["fast"] < 1024 < budgets["slow"]


def test_the_users_pools_replace_the_default_ones(settings_of: Load) -> None:
    """Also when there are none."""
    assert list(settings_of("pools:\n  - {name: small, model: llama-8b-self}\n").pools) == ["small"]
    assert settings_of("pools: []\n").pools == {}


def test_fallbacks_replace_the_default_ones_key_by_key(settings_of: Load) -> None:
    """One that the user leaves out stays as it was; an empty one is none."""
    before = settings_of().fallbacks
    after = settings_of("fallbacks:\n  gpt-4o: [claude-sonnet-5-5]\n  gpt-6-luna: []\n").fallbacks
    assert after == {**before, "gpt-4o": ("claude-sonnet-5-5",), "gpt-6-luna": ()}


def test_the_users_rules_replace_the_table(settings_of: Load) -> None:
    """All of it: nothing of the built-in rules is left."""
    settings = settings_of(
        """\
rules:
  table:
    - model: gpt-6-terra
      phases: [phase2.5, phase3]
      tasks: [critique, our_own_task]
      except_tasks: [classification]
      complexities: [complex, critical]
      needs_vision: true
  default_model: gpt-6-luna
"""
    )
    rule = Rule(
        model="gpt-6-terra",
        phases=frozenset({Phase.PHASE2_5, Phase.PHASE3}),
        tasks=frozenset({"critique", "our_own_task"}),
        except_tasks=frozenset({"classification"}),
        complexities=frozenset({Complexity.COMPLEX, Complexity.CRITICAL}),
        needs_vision=True,
    )
    assert settings.rules == RuleTable(rules=(rule,), default_model="gpt-6-luna")
    assert settings.warnings == ()


def test_a_change_to_a_shipped_model_leaves_its_other_fields(settings_of: Load) -> None:
    """Prices are exact, in text or as numbers."""
    before = settings_of().models["gpt-4o"]
    after = settings_of("models:\n  gpt-4o: {usd_per_mtok_in: '0.1', usd_per_mtok_out: 0.3}\n").models["gpt-4o"]
    price = replace(before.price, usd_per_mtok_in=Decimal("0.1"), usd_per_mtok_out=Decimal("0.3"))
    assert after == replace(before, price=price)


def test_a_model_switched_on_is_usable(settings_of: Load) -> None:
    """In rules and chains."""
    text = "models:\n  mixtral-8x7b-together: {enabled: true}\nfallbacks:\n  llama-8b-groq: [mixtral-8x7b-together]\n"
    assert settings_of(text).models["mixtral-8x7b-together"].enabled


def test_an_own_model_and_its_pool_need_no_code(settings_of: Load) -> None:
    """Its step times are scaled from another model's, and that is said."""
    settings = settings_of(OWN)
    model = settings.models["own"]
    assert (model.is_own, model.price.usd_per_mtok_in, model.price.source) == (True, Decimal("0.01"), "planning")
    assert model.capabilities == {Capability.TEXT, Capability.JSON}
    assert 0 < settings.step_times["own"].alpha_ms < settings_of().step_times["llama-8b"].alpha_ms
    assert [w.key for w in settings.warnings if "scaled from another model" in w.message] == ["pools[0].engine"]


def test_a_provider_of_ones_own(settings_of: Load) -> None:
    """With what it leaves out as planning figures; a change to a shipped one leaves its other fields."""
    settings = settings_of(
        """\
providers:
  mine: {base_url: 'https://llm.example.com/v1/', api_key_env: MINE_API_KEY, dialect: anthropic}
  groq: {tokens_per_min: 5000}
models:
  gpt-4o: {provider: mine}
""",
        {"MINE_API_KEY": "set"},
    )
    mine, groq = settings.providers["mine"], settings.providers["groq"]
    assert (mine.base_url, mine.dialect, mine.requests_per_min) == (
        "https://llm.example.com/v1",
        Dialect.ANTHROPIC,
        None,
    )
    assert (groq.tokens_per_min, groq.base_url) == (5000, "https://api.groq.com/openai/v1")
    assert settings.models["gpt-4o"].provider == "mine"


def test_budgets_are_exact_and_tenants_may_be_numbers(settings_of: Load) -> None:
    """Keys are text as written."""
    budgets = settings_of("budgets:\n  usd_per_day: {'*': 5, acme: '0.1', 7: 1.5, on: 0, ~: 2}\n").budgets.usd_per_day
    assert budgets == {
        "*": Decimal(5),
        "acme": Decimal("0.1"),
        "7": Decimal("1.5"),
        "on": Decimal(0),
        "~": Decimal(2),
    }


def test_yaml_anchors_and_merges_work(settings_of: Load) -> None:
    """What pools have in common can be written once."""
    pools = settings_of(
        """\
pools:
  - &small
    name: a
    model: llama-8b-self
    slo: {ttft_p95_s: 0.5}
  - {<<: *small, name: b}
"""
    ).pools
    assert [(pool.name, pool.slo.ttft_p95_s) for pool in pools.values()] == [("a", 0.5), ("b", 0.5)]


def test_limits_and_ports_reach_the_settings(settings_of: Load) -> None:
    """Those of the gateway, of the controller and of the stand-in."""
    settings = settings_of(
        "gateway: {port: 9000, caps: {choices: 2}, timeouts: {ttft_s: 9.5}}\n"
        "controller: {tick_s: 0.5, gateways: ['http://gw-1:8081', 'http://10.0.0.2:8081']}\n"
        "standin_port: 9009\nsimulated_cold_start_s: 0\nphase: phase2\n"
    )
    assert (settings.gateway.port, settings.gateway.caps.choices, settings.gateway.timeouts.ttft_s) == (9000, 2, 9.5)
    assert (settings.controller.tick_s, settings.standin_port, settings.simulated_cold_start_s) == (0.5, 9009, 0)
    assert settings.controller.gateways == ("http://gw-1:8081", "http://10.0.0.2:8081")
    assert settings.phase is Phase.PHASE2
