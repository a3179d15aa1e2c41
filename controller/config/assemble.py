"""Settings out of the parts of a configuration: spillway.yaml's, and pools that stand in it or come from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from controller.catalogue.document import Document
from controller.config.authorities import authority_problems
from controller.config.build import gateway_of, rules_of
from controller.config.catalogues import check_models, merged_models, merged_providers
from controller.config.chains import check_fallbacks, check_rules, lifetime_warnings, routed_keys
from controller.config.databases import database_problems, database_variable
from controller.config.environment import phase_of
from controller.config.node_pools import node_pools_of
from controller.config.pools import CheckedPools
from controller.config.schema import Config
from controller.config.settings import ControllerSettings, Settings
from controller.config.tenants import budgets_of, tenants_of
from controller.config.usage import key_warnings, unserved_warnings
from controller.core.errors import Problem
from controller.core.models import Model, Provider, StepTimes
from controller.core.pools import Pool
from controller.core.requests import Phase
from controller.routing.phases import RuleTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """spillway.yaml and the environment without the pools, with the catalogue laid under."""

    file: Path | None
    document: Document
    environ: Mapping[str, str]
    today: date
    config: Config
    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    rules: RuleTable
    phase: Phase


def parts_of(
    config: Config, document: Document, environ: Mapping[str, str], *, file: Path | None, today: date
) -> tuple[Parts, list[Problem]]:
    """The parts, and what is wrong with models and providers."""
    models, problems = merged_models(config, document)
    providers, provider_problems = merged_providers(config, document)
    problems += provider_problems
    problems += authority_problems(providers, document)
    problems += check_models(models, providers, document)
    parts = Parts(
        file=file,
        document=document,
        environ=environ,
        today=today,
        config=config,
        models=models,
        providers=providers,
        rules=rules_of(config.rules),
        phase=phase_of(environ, config.phase),
    )
    return parts, problems


def check_routes(parts: Parts) -> Iterator[Problem]:
    """What is wrong with fallbacks, rules, and the database."""
    yield from check_fallbacks(parts.config.fallbacks, parts.models, parts.document)
    yield from check_rules(parts.rules, parts.models, parts.document)
    yield from database_problems(parts.config, parts.document, parts.environ)


def use_problems(parts: Parts, checked: CheckedPools) -> Iterator[Problem]:
    """Dead models, models without a pool and missing keys, of what the present phase can use."""
    models, document = parts.models, parts.document
    routed = list(routed_keys(parts.rules, parts.phase, checked.pools, checked.places, parts.config.fallbacks))
    yield from lifetime_warnings(routed, models, document, parts.today)
    yield from unserved_warnings(routed, models, checked.pools, document)
    yield from key_warnings(routed, models, parts.providers, parts.environ, document=document, today=parts.today)


def settings_of(
    parts: Parts, pools: Mapping[str, Pool], step_times: Mapping[str, StepTimes], problems: Iterable[Problem]
) -> Settings:
    """The settings with these pools; warnings among the problems stay with them."""
    config, environ = parts.config, parts.environ
    tenants = tenants_of(config, pools)
    return Settings(
        file=parts.file,
        state_dir=Path(environ.get("SPILLWAY_STATE_DIR") or config.state_dir),
        pepper_file=Path(environ["SPILLWAY_PEPPER_FILE"]) if environ.get("SPILLWAY_PEPPER_FILE") else None,
        phase=parts.phase,
        today=parts.today,
        gateway=gateway_of(config.gateway),
        controller=ControllerSettings(**config.controller.model_dump()),
        models=parts.models,
        providers=parts.providers,
        pools=pools,
        step_times=step_times,
        rules=parts.rules,
        fallbacks=config.fallbacks,
        budgets=budgets_of(tenants),
        tenants=tenants,
        node_pools=node_pools_of(config.node_pools),
        database_url_env=database_variable(config, environ),
        simulated_cold_start_s=config.simulated_cold_start_s,
        standin_port=config.standin_port,
        warnings=tuple(problem for problem in problems if problem.severity == "warning"),
    )
