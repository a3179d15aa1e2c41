"""What `spillway up` tells its children holds for every other command, whatever its own shell has set."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from controller.cli.errors import CliError
from controller.cli.overrides import (
    COLD_START,
    PORT,
    STANDIN_FOR,
    STANDIN_URL,
    standin_for,
    usable_providers,
    with_overrides,
)
from controller.cli.wiring import private_hosts
from controller.config.load import load_settings
from controller.config.settings import Settings
from controller.config.usage import WITH_KEYS

URL = "http://127.0.0.1:8090"


def _settings() -> Settings:
    return load_settings(None, {}, today=date(2026, 11, 1), state_dir=Path("state"))


def test_providers_without_a_key_are_answered_by_the_stand_in() -> None:
    """They point to it and are marked; one with a key is left alone."""
    settings = with_overrides(_settings(), {STANDIN_URL: URL, "GROQ_API_KEY": "set"})
    assert settings.providers["openai"].base_url == f"{URL}/openai/v1"
    assert {name for name, provider in settings.providers.items() if provider.simulated} == {
        "openai", "anthropic", "together",
    }  # fmt: skip
    assert settings.providers["groq"].base_url.startswith("https://")


def test_the_stand_in_may_be_on_a_network_of_ones_own() -> None:
    """In Compose its name leads to a private address; a real provider's still may not."""
    settings = with_overrides(_settings(), {STANDIN_URL: "http://provider:8000", "GROQ_API_KEY": "set"})
    assert private_hosts(settings) == {"provider"}


def test_what_up_decided_goes_before_the_keys_of_this_shell() -> None:
    """Named providers are simulated although this shell has their key, others are not although it has none."""
    environ = {STANDIN_FOR: "groq,nobody", "GROQ_API_KEY": "set"}
    assert standin_for(_settings(), environ) == ("groq",)
    settings = with_overrides(_settings(), {**environ, STANDIN_URL: URL})
    assert [name for name, provider in settings.providers.items() if provider.simulated] == ["groq"]


def test_ports_follow_the_gateways() -> None:
    """Admin +1, controller +2, stand-in +10."""
    settings = with_overrides(_settings(), {PORT: "9300", COLD_START: "7.5"})
    ports = (settings.gateway.port, settings.gateway.admin_port, settings.controller.port, settings.standin_port)
    assert ports == (9300, 9301, 9302, 9310)
    assert settings.simulated_cold_start_s == 7.5


@pytest.mark.parametrize(("name", "value"), [(PORT, "80"), (PORT, "many"), (COLD_START, "-1"), (COLD_START, "nan")])
def test_a_senseless_override_is_refused(name: str, value: str) -> None:
    """Name, value and range, exit code 2."""
    with pytest.raises(CliError, match=rf"{name} must be a number from .* not '{value}'") as refused:
        with_overrides(_settings(), {name: value})
    assert refused.value.exit_code == 2


def test_usable_means_simulated_or_with_a_key() -> None:
    """Nothing without either."""
    assert usable_providers(_settings(), {"OPENAI_API_KEY": "set"}) == {"openai"}
    simulated = with_overrides(_settings(), {STANDIN_URL: URL})
    assert usable_providers(simulated, {}) == frozenset(simulated.providers)


def test_a_controller_is_told_whose_keys_the_gateways_hold() -> None:
    """Named providers count as usable although no key of theirs is here; unknown names do nothing."""
    assert usable_providers(_settings(), {WITH_KEYS: "openai,groq,nobody"}) == {"openai", "groq"}
    assert usable_providers(_settings(), {WITH_KEYS: ""}) == frozenset()
