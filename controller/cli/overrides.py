"""What `spillway up` tells its child processes by environment variables, laid over the configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.cli.errors import EXIT_USAGE, CliError
from controller.config.settings import Settings
from controller.config.usage import has_key, keys_elsewhere
from controller.core.models import Provider

STANDIN_URL = "SPILLWAY_STANDIN_URL"  # the stand-in provider: answers for every provider without a key
PORT = "SPILLWAY_PORT"  # the gateway's; the others follow at fixed distances, as the defaults do
COLD_START = "SPILLWAY_COLD_START_S"  # of simulated engines
STANDIN_FOR = "SPILLWAY_STANDIN_FOR"  # the providers it answers for, with commas: those whose key `up` did not have
NAMES = (STANDIN_URL, STANDIN_FOR, PORT, COLD_START)
ADMIN_PORT_DISTANCE = 1
CONTROLLER_PORT_DISTANCE = 2
STANDIN_PORT_DISTANCE = 10


def with_overrides(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings with the ports, the cold start and the stand-in that the environment names."""
    if PORT in environ:
        settings = _with_port(settings, int(_number(environ, PORT, 1024, 65525)))
    if COLD_START in environ:
        settings = replace(settings, simulated_cold_start_s=_number(environ, COLD_START, 0, 3600))
    url = environ.get(STANDIN_URL)
    return with_standin(settings, url, environ) if url else settings


def with_standin(settings: Settings, url: str, environ: Mapping[str, str]) -> Settings:
    """Every provider that lacks a key points to the stand-in, wherever that is, and is marked as simulated."""
    replaced = standin_for(settings, environ)
    providers = {
        name: replace(provider, base_url=f"{url}/{name}/v1", private_address=True, simulated=True)
        if name in replaced
        else provider
        for name, provider in settings.providers.items()
    }
    return replace(settings, providers=providers)


def standin_for(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The providers that the stand-in answers for: as `up` has said, else those without a key here."""
    if STANDIN_FOR in environ:
        named = environ[STANDIN_FOR].split(",")
        return tuple(name for name in settings.providers if name in named)
    return tuple(name for name, provider in settings.providers.items() if lacks_key(provider, environ))


def lacks_key(provider: Provider, environ: Mapping[str, str]) -> bool:
    """Whether the provider's key is in no variable and no file."""
    return not has_key(provider, environ)


def usable_providers(settings: Settings, environ: Mapping[str, str]) -> frozenset[str]:
    """The providers that can be called: simulated, or with a key, be it one that only the gateways hold."""
    elsewhere = keys_elsewhere(environ)
    return frozenset(
        name
        for name, provider in settings.providers.items()
        if provider.simulated or name in elsewhere or not lacks_key(provider, environ)
    )


def _with_port(settings: Settings, port: int) -> Settings:
    return replace(
        settings,
        gateway=replace(settings.gateway, port=port, admin_port=port + ADMIN_PORT_DISTANCE),
        controller=replace(settings.controller, port=port + CONTROLLER_PORT_DISTANCE),
        standin_port=port + STANDIN_PORT_DISTANCE,
    )


def _number(environ: Mapping[str, str], name: str, low: float, high: float) -> float:
    try:
        value = float(environ[name])
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise CliError(f"{name} must be a number from {low} to {high}, not '{environ[name]}'", exit_code=EXIT_USAGE)
    return value
