"""What becomes of a configuration that another one takes the place of."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from controller.config.changes import adopt
from controller.config.load import load_settings
from controller.config.settings import Settings

TODAY = date(2026, 11, 26)
FILE = """
pools:
  - {name: llama-8b, model: llama-8b-self, spill: {to: [gpt-4o-mini]}}
  - {name: mixtral, model: mixtral-8x7b-self, instance_type: p4d.24xlarge, engine: {tensor_parallel: 4}}
tenants:
  acme: {requests_per_min: 60}
"""


def loaded(text: str, tmp_path: Path) -> Settings:
    """The settings in this file."""
    file = tmp_path / "spillway.yaml"
    file.write_text(text)
    return load_settings(file, {}, today=TODAY)


@pytest.fixture
def old(tmp_path: Path) -> Settings:
    """Those there are."""
    return loaded(FILE, tmp_path)


def test_the_same_file_changes_nothing(old: Settings, tmp_path: Path) -> None:
    """Every value is the object it was, so nothing that is worked out from it is worked out again."""
    again = loaded(FILE, tmp_path)
    adoption = adopt(old, again)
    assert adoption.changed == adoption.kept == ()
    for name in (
        "models",
        "providers",
        "pools",
        "step_times",
        "rules",
        "tenants",
        "fallbacks",
        "gateway",
        "controller",
    ):
        assert getattr(adoption.settings, name) is getattr(old, name), name


def test_what_changes_is_named_and_the_rest_stays_the_same_object(old: Settings, tmp_path: Path) -> None:
    """One pool's SLO, one more tenant."""
    text = FILE.replace("spill: {to: [gpt-4o-mini]}", "spill: {to: [gpt-4o-mini]}, slo: {ttft_p95_s: 0.5}")
    adoption = adopt(old, loaded(text + "  beta: {priority: batch}\n", tmp_path))
    assert adoption.changed == ("pools.llama-8b", "tenants.beta")
    assert adoption.settings.pools["llama-8b"].slo.ttft_p95_s == 0.5
    assert adoption.settings.pools["mixtral"] is old.pools["mixtral"]
    assert adoption.settings.models is old.models


def test_pools_come_and_go(old: Settings, tmp_path: Path) -> None:
    """A pool that is added and one that is removed are both named."""
    text = FILE.replace("name: mixtral,", "name: other,")
    adoption = adopt(old, loaded(text, tmp_path))
    assert set(adoption.settings.pools) == {"llama-8b", "other"}
    assert [name for name in adoption.changed if name.startswith("pools.")] == ["pools.mixtral", "pools.other"]
    assert set(adoption.settings.step_times) == {"llama-8b", "other"}


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("gateway", "host", "0.0.0.0"),
        ("gateway", "port", 9000),
        ("gateway", "admin_host", "127.0.0.2"),
        ("gateway", "admin_port", 9001),
        ("controller", "host", "127.0.0.2"),
        ("controller", "port", 9002),
        ("", "state_dir", Path("/elsewhere")),
        ("", "database_url_env", "OTHER_URL"),
        ("", "standin_port", 9003),
    ],
)
def test_what_is_bound_at_the_start_keeps_its_value(old: Settings, section: str, field: str, value: object) -> None:
    """And is named, so that nobody waits for it."""
    if section:
        new = replace(old, **{section: replace(getattr(old, section), **{field: value})})
    else:
        new = replace(old, **{field: value})  # type: ignore[arg-type]
    adoption = adopt(old, new)
    assert adoption.kept == (f"{section}.{field}" if section else field,)
    assert adoption.changed == ()
    assert adoption.settings == old


def test_how_long_a_head_may_take_is_bound_at_the_start_and_other_deadlines_are_not(old: Settings) -> None:
    """The sockets were made with it."""
    timeouts = replace(old.gateway.timeouts, header_s=3.0, ttft_s=7.0)
    adoption = adopt(old, replace(old, gateway=replace(old.gateway, timeouts=timeouts)))
    assert adoption.kept == ("gateway.timeouts.header_s",)
    assert adoption.changed == ("gateway.timeouts",)
    assert adoption.settings.gateway.timeouts == replace(old.gateway.timeouts, ttft_s=7.0)


def test_a_pool_keeps_its_model(old: Settings, tmp_path: Path) -> None:
    """Its replicas would refuse every request for another; the pool stays as it was, step times and all."""
    text = FILE.replace("model: llama-8b-self,", "model: mixtral-8x7b-self, instance_type: p4d.24xlarge,")
    new = loaded(text.replace("name: llama-8b,", "name: llama-8b, engine: {tensor_parallel: 4},"), tmp_path)
    adoption = adopt(old, new)
    assert adoption.kept == ("pools.llama-8b.model",)
    assert adoption.settings.pools["llama-8b"] is old.pools["llama-8b"]
    assert adoption.settings.step_times["llama-8b"] is old.step_times["llama-8b"]
