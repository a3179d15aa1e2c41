"""Warnings about what the present phase will use: own models without a pool, providers without a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

from controller.catalogue.document import Document, Place
from controller.catalogue.lifetimes import resolve
from controller.catalogue.refusals import ENVIRONMENT, problem_at
from controller.core.errors import Problem
from controller.core.models import Model, Provider
from controller.core.pools import Pool

WITH_KEYS = "SPILLWAY_PROVIDERS_WITH_KEYS"  # providers whose keys only the gateways hold, with commas
Routed = Sequence[tuple[Place, str]]  # where a catalogue key is named, and the key


def unserved_warnings(
    routed: Routed, models: Mapping[str, Model], pools: Mapping[str, Pool], document: Document
) -> Iterator[Problem]:
    """Own models that rules or chains name and no pool serves: such requests go to the next in the chain."""
    served = {pool.model for pool in pools.values()}
    seen: set[str] = set()
    for place, key in routed:
        model = models.get(key)
        if model is None or not model.is_own or key in served or key in seen:
            continue
        seen.add(key)
        yield problem_at(document, place, f"no pool serves {key}", "a pool with this model", key, severity="warning")


def has_key(provider: Provider, environ: Mapping[str, str]) -> bool:
    """Whether one of its variables is set, or one of its files is there."""
    variables = (provider.api_key_env, *provider.more_key_envs)
    return any(environ.get(name) for name in variables) or any(Path(path).is_file() for path in provider.api_key_files)


def keys_elsewhere(environ: Mapping[str, str]) -> frozenset[str]:
    """The providers whose keys only the gateways hold, as a process that holds none is told."""
    return frozenset(filter(None, environ.get(WITH_KEYS, "").split(",")))


def key_warnings(
    routed: Routed,
    models: Mapping[str, Model],
    providers: Mapping[str, Provider],
    environ: Mapping[str, str],
    *,
    document: Document,
    today: date,
) -> Iterator[Problem]:
    """Providers in use whose key is not set, each once; for a model that is shut down, that of its successor.

    A note where the file names neither the provider nor a model of it: the built-in configuration is for those who have
    some of the keys or none.
    """
    elsewhere = keys_elsewhere(environ)
    serving = [(place, key, resolve(models, key, today)[0].provider) for place, key in routed if key in models]
    used = {provider: key for _, key, provider in reversed(serving)}
    wanted = {provider for place, _, provider in serving if document.covers(place)}
    for name, key in sorted(used.items()):
        provider = providers.get(name)
        if provider is not None and name not in elsewhere and not has_key(provider, environ):
            message = f"is not set, so provider {name} cannot be called (needed for {key})"
            is_named = name in wanted or document.has(("providers", name))
            severity = "warning" if is_named else "note"
            place = (provider.api_key_env,)
            yield problem_at(ENVIRONMENT, place, message, "the provider's API key", severity=severity)
