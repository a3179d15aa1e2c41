"""Everything `spillway config validate` finds offline, all at once; `load_settings` stands on the same findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from controller.config.build import ENDPOINT_VARIABLES, bare_endpoint, gateway_of, pool_of, rules_of
from controller.config.catalogues import check_models, merged_models, merged_providers
from controller.config.chains import check_fallbacks, check_pool_circles, check_rules, lifetime_warnings, routed_keys
from controller.config.document import Document, Place, parse_document, read_document
from controller.config.pools import check_pools
from controller.config.refusals import did_you_mean, from_validation, problem_at
from controller.config.schema import Config, PoolSection
from controller.config.settings import BudgetSettings, ControllerSettings, Settings
from controller.core.errors import Problem
from controller.core.models import Model, Provider
from controller.core.pools import Pool
from controller.core.requests import Phase


@cache
def default_config() -> Config:
    """What holds when spillway.yaml says nothing."""
    text = files("controller.config").joinpath("default.yaml").read_text(encoding="utf-8")
    return Config.model_validate(parse_document(text, Path("default.yaml")).content)


def check(file: Path | None, environ: Mapping[str, str], today: date) -> tuple[Problem, ...]:
    """Every error and warning."""
    return examine(file, environ, today)[1]


def examine(file: Path | None, environ: Mapping[str, str], today: date) -> tuple[Settings | None, tuple[Problem, ...]]:
    """The settings, unless there is an error, and all problems."""
    document = read_document(file) if file is not None else Document(file=None)
    problems = list(document.problems)
    config = default_config()
    given: frozenset[str] = frozenset()
    try:
        parsed = Config.model_validate(document.content)
    except ValidationError as error:
        return None, (*problems, *from_validation(error, Config, document), *_environ_problems(environ))
    given = frozenset(parsed.model_fields_set)
    kept = {name: getattr(config, name) for name in ("pools",) if name not in given}
    config = parsed.model_copy(update={**kept, "fallbacks": {**config.fallbacks, **parsed.fallbacks}})
    problems += _environ_problems(environ)
    settings, found = _assemble(config, document, environ, file=file, today=today)
    problems += found
    if any(problem.severity == "error" for problem in problems):
        return None, tuple(problems)
    return settings, tuple(problems)


def _assemble(
    config: Config, document: Document, environ: Mapping[str, str], *, file: Path | None, today: date
) -> tuple[Settings, list[Problem]]:
    models, problems = merged_models(config, document)
    providers, provider_problems = merged_providers(config, document)
    problems += provider_problems
    problems += check_models(models, providers, document)
    checked = check_pools(_pools(config, environ), models, document)
    problems += checked.problems
    rules = rules_of(config.rules)
    problems += check_pool_circles(checked.pools, document, checked.places)
    problems += check_fallbacks(config.fallbacks, models, document)
    problems += check_rules(rules, models, document)
    problems += _port_problems(config, document)
    phase = _phase(config, environ)
    routed = list(routed_keys(rules, phase, checked.pools, checked.places, config.fallbacks))
    problems += lifetime_warnings(routed, models, document, today)
    problems += _unserved_warnings(routed, models, checked.pools, document)
    problems += _key_warnings(routed, models, providers, environ)
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
        budgets=BudgetSettings(usd_per_day=config.budgets.usd_per_day),
        simulated_cold_start_s=config.simulated_cold_start_s,
        standin_port=config.standin_port,
        warnings=tuple(problem for problem in problems if problem.severity == "warning"),
    )
    return settings, problems


def _pools(config: Config, environ: Mapping[str, str]) -> list[tuple[Place, Pool]]:
    """The configured pools; an endpoint variable makes the pools of its model fixed, or adds the default one."""
    sections: list[tuple[Place, PoolSection]] = [(("pools", index), pool) for index, pool in enumerate(config.pools)]
    for variable, key in ENDPOINT_VARIABLES.items():
        endpoints = _endpoints(environ, variable)
        if not endpoints:
            continue
        if not any(section.model == key for _, section in sections):
            default = next(section for section in default_config().pools if section.model == key)
            sections.append(((variable,), default))
        sections = [
            (place, section.model_copy(update={"endpoints": endpoints}) if section.model == key else section)
            for place, section in sections
        ]
    return [(place, pool_of(section)) for place, section in sections]


def _endpoints(environ: Mapping[str, str], variable: str) -> tuple[str, ...]:
    words = (word.strip() for word in environ.get(variable, "").split(","))
    return tuple(bare_endpoint(word) for word in words if word)


def _phase(config: Config, environ: Mapping[str, str]) -> Phase:
    """The environment's phase before the file's; a wrong one has been refused elsewhere."""
    word = environ.get("AI_PHASE", "")
    return Phase(word) if word in {phase.value for phase in Phase} else config.phase


def _environ_problems(environ: Mapping[str, str]) -> Iterator[Problem]:
    nowhere = Document(file=None)
    phases = [phase.value for phase in Phase]
    word = environ.get("AI_PHASE", "")
    if word and word not in phases:
        message = "unknown phase" + did_you_mean(word, phases)
        yield problem_at(nowhere, ("AI_PHASE",), message, f"one of {', '.join(phases)}", word)
    for variable in ENDPOINT_VARIABLES:
        for endpoint in _endpoints(environ, variable):
            host = endpoint.removeprefix("https://").removeprefix("http://")
            if host == endpoint or not host or any(char in host for char in "/?#@ "):
                allowed = "http://host:port/v1, several with commas between"
                yield problem_at(nowhere, (variable,), "is no endpoint", allowed, endpoint)


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


def _unserved_warnings(
    routed: list[tuple[Place, str]], models: Mapping[str, Model], pools: Mapping[str, Pool], document: Document
) -> Iterator[Problem]:
    """Own models that rules or chains name and no pool serves: such requests go to the next in the chain."""
    served = {pool.model for pool in pools.values()}
    seen: set[str] = set()
    for place, key in routed:
        model = models.get(key)
        if model is None or not model.is_own or key in served or key in seen:
            continue
        seen.add(key)
        yield problem_at(document, place, f"no pool serves {key}", "a pool with this model", key, "warning")


def _key_warnings(
    routed: list[tuple[Place, str]],
    models: Mapping[str, Model],
    providers: Mapping[str, Provider],
    environ: Mapping[str, str],
) -> Iterator[Problem]:
    """Providers in use whose key is not set, each once."""
    used = {models[key].provider: key for _, key in reversed(routed) if key in models}
    for name, key in sorted(used.items()):
        provider = providers.get(name)
        if provider is not None and not environ.get(provider.api_key_env):
            yield problem_at(
                Document(file=None),
                (provider.api_key_env,),
                f"is not set, so provider {name} cannot be called (needed for {key})",
                "the provider's API key",
                None,
                "warning",
            )
