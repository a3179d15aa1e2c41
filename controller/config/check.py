"""Everything `spillway config validate` finds offline, all at once; `load_settings` stands on the same findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path

from controller.config.authorities import authority_problems
from controller.config.build import gateway_of, pool_of, rules_of
from controller.config.catalogues import check_models, merged_models, merged_providers
from controller.config.chains import check_fallbacks, check_pool_circles, check_rules, lifetime_warnings, routed_keys
from controller.config.databases import database_problems, database_variable
from controller.config.document import Document, Place, parse_document, read_document
from controller.config.environment import ENDPOINT_VARIABLES, endpoints_of, environment_problems, phase_of
from controller.config.node_pools import check_node_pools, node_pools_of
from controller.config.pools import check_pools, with_token_budgets
from controller.config.refusals import problem_at
from controller.config.salvage import Salvaged, salvage
from controller.config.schema import Config, PoolSection
from controller.config.settings import ControllerSettings, Settings
from controller.config.tenants import budgets_of, check_tenants, tenants_of
from controller.config.usage import key_warnings, unserved_warnings
from controller.core.errors import Problem

_WITH_PORTS = frozenset({("gateway",), ("controller",), ("standin_port",)})


@cache
def default_config() -> Config:
    """What holds when spillway.yaml says nothing."""
    text = files("controller.config").joinpath("default.yaml").read_text(encoding="utf-8")
    return Config.model_validate(parse_document(text, Path("default.yaml")).content)


def check(file: Path | None, environ: Mapping[str, str], today: date) -> tuple[Problem, ...]:
    """Every error, warning and note."""
    return examine(file, environ, today)[1]


def examine(file: Path | None, environ: Mapping[str, str], today: date) -> tuple[Settings | None, tuple[Problem, ...]]:
    """The settings, unless there is an error, and all problems."""
    document = read_document(file) if file is not None else Document(file=None)
    problems = [*document.problems, *environment_problems(environ)]
    if document.problems and not document.content:
        return None, tuple(problems)
    found = salvage(document)
    settings, further = _assemble(found, document, environ, file=file, today=today)
    problems += [*found.problems, *(problem for problem in further if not found.blames(problem))]
    problems.sort(key=lambda problem: (problem.severity != "error", problem.line or 0))
    refused = any(problem.severity == "error" for problem in problems)
    return None if refused else settings, tuple(problems)


def _assemble(
    found: Salvaged, document: Document, environ: Mapping[str, str], *, file: Path | None, today: date
) -> tuple[Settings, list[Problem]]:
    config = _with_defaults(found.config)
    models, problems = merged_models(config, document)
    providers, provider_problems = merged_providers(config, document)
    problems += provider_problems
    problems += authority_problems(providers, document)
    problems += check_models(models, providers, document)
    sections = _pool_sections(config, found.pool_places, environ)
    checked = check_pools([(place, pool_of(section)) for place, section in sections], models, document)
    unsaid = {section.name for _, section in sections if section.engine.max_num_batched_tokens is None}
    checked = with_token_budgets(checked, unsaid, document)
    problems += checked.problems
    problems += check_node_pools(config.node_pools, checked.pools, document, checked.places)
    rules = rules_of(config.rules)
    problems += check_pool_circles(checked.pools, document, checked.places)
    problems += check_fallbacks(config.fallbacks, models, document)
    problems += check_rules(rules, models, document)
    problems += check_tenants(config, models, checked.pools, document)
    problems += _gateway_problems(config, document)
    if not found.dropped & _WITH_PORTS:
        problems += _port_problems(config, document)
    phase = phase_of(environ, config.phase)
    routed = list(routed_keys(rules, phase, checked.pools, checked.places, config.fallbacks))
    problems += lifetime_warnings(routed, models, document, today)
    problems += unserved_warnings(routed, models, checked.pools, document)
    problems += database_problems(config, document, environ)
    problems += key_warnings(routed, models, providers, environ, document=document, today=today)
    tenants = tenants_of(config, checked.pools)
    settings = Settings(
        file=file,
        state_dir=Path(environ.get("SPILLWAY_STATE_DIR") or config.state_dir),
        phase=phase,
        today=today,
        gateway=gateway_of(config.gateway),
        controller=ControllerSettings(**config.controller.model_dump()),
        models=models,
        providers=providers,
        pools=checked.pools,
        step_times=checked.step_times,
        rules=rules,
        fallbacks=config.fallbacks,
        budgets=budgets_of(tenants),
        tenants=tenants,
        node_pools=node_pools_of(config.node_pools),
        database_url_env=database_variable(config, environ),
        simulated_cold_start_s=config.simulated_cold_start_s,
        standin_port=config.standin_port,
        warnings=tuple(problem for problem in problems if problem.severity == "warning"),
    )
    return settings, problems


def _with_defaults(config: Config) -> Config:
    """Default pools unless the file has some; default fallbacks where the file has none."""
    default = default_config()
    pools = config.pools if "pools" in config.model_fields_set else default.pools
    return config.model_copy(update={"pools": pools, "fallbacks": {**default.fallbacks, **config.fallbacks}})


def _pool_sections(
    config: Config, places: tuple[Place, ...], environ: Mapping[str, str]
) -> list[tuple[Place, PoolSection]]:
    """The configured pools; an endpoint variable makes the pools of its model fixed, or adds the default one."""
    places = places or tuple(("pools", index) for index in range(len(config.pools)))
    sections: list[tuple[Place, PoolSection]] = list(zip(places, config.pools, strict=True))
    for variable, key in ENDPOINT_VARIABLES.items():
        endpoints = endpoints_of(environ, variable)
        if not endpoints:
            continue
        if not any(section.model == key for _, section in sections):
            default = next(section for section in default_config().pools if section.model == key)
            sections.append(((variable,), default))
        sections = [
            (
                place,
                section.model_copy(update={"endpoints": endpoints, "node_pool": None})
                if section.model == key
                else section,
            )
            for place, section in sections
        ]
    return sections


def _gateway_problems(config: Config, document: Document) -> Iterator[Problem]:
    """A gateway that is named twice."""
    named = config.controller.gateways
    for index, url in enumerate(named):
        if url in named[:index]:
            message = "is named already: its requests would count twice"
            yield problem_at(document, ("controller", "gateways", index), message, "each gateway once", url)


def _port_problems(config: Config, document: Document) -> Iterator[Problem]:
    """Two jobs on one port."""
    owner: dict[int, str] = {}
    for place, port in (
        (("gateway", "port"), config.gateway.port),
        (("gateway", "admin_port"), config.gateway.admin_port),
        (("controller", "port"), config.controller.port),
        (("standin_port",), config.standin_port),
    ):
        if port in owner:
            yield problem_at(document, place, f"is the port of {owner[port]} too", "a port of its own", port)
        owner.setdefault(port, ".".join(place))
