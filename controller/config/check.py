"""Everything `spillway config validate` finds offline, all at once; `load_settings` stands on the same findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path

from controller.catalogue.document import Document, Place, parse_document, read_document
from controller.catalogue.refusals import ENVIRONMENT, problem_at
from controller.config.assemble import Parts, check_routes, parts_of, settings_of, use_problems
from controller.config.build import pool_of
from controller.config.chains import check_pool_circles
from controller.config.environment import ENDPOINT_VARIABLES, endpoints_of, environment_problems
from controller.config.node_pools import check_node_pools
from controller.config.pools import check_pools, with_token_budgets
from controller.config.salvage import Salvaged, salvage
from controller.config.schema import Config, PoolSection
from controller.config.settings import Settings
from controller.config.tenants import check_tenants
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
    told = _told(found, [*problems, *found.problems], further)
    return None if is_refused(told) else settings, told


def examine_parts(
    file: Path | None, environ: Mapping[str, str], today: date
) -> tuple[Parts | None, tuple[Problem, ...]]:
    """As `examine`, where pools come from elsewhere: all but them, and the file must have none."""
    document = read_document(file) if file is not None else Document(file=None)
    problems = [*document.problems, *environment_problems(environ)]
    if document.problems and not document.content:
        return None, tuple(problems)
    found = salvage(document)
    problems += _pool_refusals(document, environ)
    config = _with_defaults(found.config).model_copy(update={"pools": ()})
    parts, further = parts_of(config, document, environ, file=file, today=today)
    further += check_node_pools(config.node_pools, {}, document, {})
    further += check_tenants(config, parts.models, None, document)
    further += _process_problems(parts, found)
    told = _told(found, [*problems, *found.problems], further)
    return None if is_refused(told) else parts, told


def is_refused(problems: Iterable[Problem]) -> bool:
    """Whether one of them is an error."""
    return any(problem.severity == "error" for problem in problems)


def _told(found: Salvaged, problems: list[Problem], further: Iterable[Problem]) -> tuple[Problem, ...]:
    """All problems but those that are there only because a part was dropped; errors first, from the top."""
    told = [*problems, *(problem for problem in further if not found.blames(problem))]
    return tuple(sorted(told, key=lambda problem: (problem.severity != "error", problem.line or 0)))


def _process_problems(parts: Parts, found: Salvaged) -> Iterator[Problem]:
    """What is wrong beside models, providers, pools and tenants."""
    yield from check_routes(parts)
    yield from _gateway_problems(parts.config, parts.document)
    if not found.dropped & _WITH_PORTS:
        yield from _port_problems(parts.config, parts.document)


def _pool_refusals(document: Document, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Pools in a file or a variable, where they are ModelPool objects."""
    if document.content.get("pools"):
        message = "must be empty on Kubernetes: each pool is a ModelPool object of this namespace"
        yield problem_at(document, ("pools",), message, "no pools here, and `kubectl apply` of ModelPools")
    for variable in ENDPOINT_VARIABLES:
        if endpoints_of(environ, variable):
            message = "is not used on Kubernetes: each pool is a ModelPool object of this namespace"
            yield problem_at(ENVIRONMENT, (variable,), message, "a ModelPool", severity="warning")


def _assemble(
    found: Salvaged, document: Document, environ: Mapping[str, str], *, file: Path | None, today: date
) -> tuple[Settings, list[Problem]]:
    config = _with_defaults(found.config)
    parts, problems = parts_of(config, document, environ, file=file, today=today)
    sections = _pool_sections(config, found.pool_places, environ)
    checked = check_pools([(place, pool_of(section)) for place, section in sections], parts.models, document)
    unsaid = {section.name for _, section in sections if section.engine.max_num_batched_tokens is None}
    checked = with_token_budgets(checked, unsaid, document)
    problems += checked.problems
    problems += check_node_pools(config.node_pools, checked.pools, document, checked.places)
    problems += check_pool_circles(checked.pools, document, checked.places)
    problems += check_tenants(config, parts.models, checked.pools, document)
    problems += _process_problems(parts, found)
    problems += use_problems(parts, checked)
    return settings_of(parts, checked.pools, checked.step_times, problems), problems


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
