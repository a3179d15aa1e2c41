"""All problems are told at once: one wrong part neither hides what is wrong elsewhere nor invents more of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_files import KEYS, TODAY, Check, errors_of

from controller.config.check import check, examine
from controller.config.load import load_settings
from controller.core.errors import ConfigError

TEN = """\
phase: phase4
gateway:
  prot: 9000
models:
  gpt-4o: {provider: opnai}
  mine: {tier: 9}
providers:
  openai: {base_url: ftp://api.example.com}
pools:
  - name: a
    model: llama-8b-self
    replicas: {min: 3, max: 2}
  - name: b
    model: mixtral-8x7b-self
    instance_type: p4d.24xlarge
    engine: {tensor_parallel: 2}
fallbacks:
  gpt-4o-mini: [gpt-4o-mini]
rules:
  default_model: gpt-5
controller: {port: 8090}
"""


def test_ten_problems_are_told_at_once(problems_of: Check) -> None:
    """One in the environment and nine in the file, each on its line, in the order of the file."""
    problems = problems_of(TEN, {"LLAMA_70B_ENDPOINT": "gpu-1"})
    assert [(problem.line, problem.key) for problem in problems] == [
        (None, "LLAMA_70B_ENDPOINT"),
        (1, "phase"),
        (3, "gateway.prot"),
        (5, "models.gpt-4o.provider"),
        (6, "models.mine.tier"),
        (8, "providers.openai.base_url"),
        (12, "pools[0].replicas"),
        (16, "pools[1].engine"),
        (18, "fallbacks.gpt-4o-mini[0]"),
        (20, "rules.default_model"),
    ]


def test_the_gateway_mended_shows_the_port_that_it_hid(problems_of: Check) -> None:
    """Ports are compared as soon as every section that has one can be read."""
    assert "standin_port" not in errors_of(problems_of(TEN))
    assert "standin_port" in errors_of(problems_of(TEN.replace("prot", "port")))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (
            "models:\n  gpt-4o: {teir: 1}\n  gpt-4o-mini: {provider: opnai}\n",
            ["models.gpt-4o.teir", "models.gpt-4o-mini.provider"],
        ),
        (
            "models:\n  gpt-4o: {teir: 1}\nfallbacks:\n  gpt-4o-mini: [gpt-4o-minni]\n",
            ["models.gpt-4o.teir", "fallbacks.gpt-4o-mini[0]"],
        ),
        (
            "pools:\n  - {name: A, model: llama-8b-self}\n  - {name: b, model: nothing}\n",
            ["pools[0].name", "pools[1].model"],
        ),
        (
            "gateway: {port: 9000, admin_port: 9000}\npools:\n  - {name: A, model: llama-8b-self}\n",
            ["gateway.admin_port", "pools[0].name"],
        ),
        ("phase: phase1\nphase: phase2\nstate_dir: 5\n", ["phase", "state_dir"]),
    ],
    ids=["model-with-a-longer-name", "chain-with-a-longer-name", "pool-after-a-pool", "ports", "duplicate-key"],
)
def test_a_wrong_part_hides_nothing_elsewhere(text: str, keys: list[str], problems_of: Check) -> None:
    """Both problems are told, although the first makes its part unreadable."""
    assert errors_of(problems_of(text)) == keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("models:\n  mine: {teir: 1}\nfallbacks:\n  gpt-4o: [gpt-6-terra, mine]\n", ["models.mine.teir"]),
        ("models:\n  mine: {teir: 1}\nrules: {default_model: mine}\n", ["models.mine.teir"]),
        ("models:\n  mine: {teir: 1}\npools:\n  - {name: a, model: mine}\n", ["models.mine.teir"]),
        ("gateway: {prot: 9000}\ncontroller: {port: 8080}\n", ["gateway.prot"]),
        ("standin_port: x\ngateway: {port: 8090}\n", ["standin_port"]),
        ("providers:\n  mine: {url: x}\nmodels:\n  gpt-4o: {provider: mine}\n", ["providers.mine.url"]),
        ("pools: {}\nmodels:\n  llama-70b-self: {enabled: false}\n", ["pools"]),
        ("rules: []\nmodels:\n  gpt-4o: {tier: 2}\n", ["rules"]),
    ],
    ids=["chain", "rule", "pool", "port", "standin-port", "provider", "default-pools", "default-rules"],
)
def test_a_wrong_part_invents_nothing_elsewhere(text: str, keys: list[str], problems_of: Check) -> None:
    """What refers to the unreadable part is not blamed for it."""
    assert errors_of(problems_of(text)) == keys


def test_warnings_wait_until_every_part_can_be_read(problems_of: Check) -> None:
    """They may be due to the part left out; then they come after the errors."""
    dead = "fallbacks:\n  gpt-4o: [llama-8b-groq, gpt-6-terra]\n"
    assert {problem.severity for problem in problems_of(dead + "phase: phase9\n")} == {"error"}
    severities = [problem.severity for problem in problems_of(dead + "gateway: {port: 8081}\n")]
    assert severities == ["error", "note", "warning"]


def test_loading_refuses_with_every_error_and_no_warning(tmp_path: Path) -> None:
    """ConfigError carries what `check` finds, one line each."""
    file = tmp_path / "spillway.yaml"
    file.write_text("gateway: {port: 8081}\nfallbacks:\n  gpt-4o: [gpt-4o, llama-8b-groq]\n")
    with pytest.raises(ConfigError) as refused:
        load_settings(file, KEYS, today=TODAY)
    errors = [problem for problem in check(file, KEYS, TODAY) if problem.severity == "error"]
    assert list(refused.value.problems) == errors
    assert str(refused.value).splitlines() == [str(problem) for problem in errors]
    assert str(errors[0]) == (
        f"{file}:1: gateway.admin_port: is the port of gateway.port too (got 8081); allowed: a port of its own"
    )


def test_values_of_keys_are_never_told(tmp_path: Path) -> None:
    """Neither problems nor settings hold what the environment says of a provider's key."""
    file = tmp_path / "spillway.yaml"
    file.write_text("phase: phase3\n")
    environ = {name: f"sk-secret-{name}" for name in KEYS} | {"HF_TOKEN": "hf_secret_0123456789"}
    settings, problems = examine(file, environ, TODAY)
    assert settings is not None
    assert "secret" not in repr(settings) + repr(problems)
