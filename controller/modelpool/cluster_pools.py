"""Settings of a cluster: spillway.yaml without pools, and the ModelPools that are good.

Controller and gateways ask this of the same objects, and so agree on which pools there are. A pool that cannot be is
left out alone, and its problems are told. Where two pools cannot be together (a circle of chains, one Deployment, too
few shared GPUs), the one stays whose spec was accepted already: as its status says, else as this process knows, whose
own verdict may not have come back to it yet. Else the older one stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path

from controller.catalogue.document import Document
from controller.catalogue.refusals import problem_at
from controller.config.assemble import Parts, settings_of, use_problems
from controller.config.chains import check_pool_circle, lifetime_warnings
from controller.config.check import examine_parts, is_refused
from controller.config.node_pools import check_node_pool, minima_too_many, node_pools_of
from controller.config.pools import CheckedPools, check_pools, with_token_budgets
from controller.config.settings import Settings
from controller.config.tenants import check_tenants
from controller.config.usage import key_warnings, unserved_warnings
from controller.core.errors import ConfigError, Problem
from controller.core.models import StepTimes
from controller.core.pools import Pool, SpillPolicy
from controller.modelpool.conditions import condition_of
from controller.modelpool.facts import PoolFacts, Trouble
from controller.modelpool.findings import INVALID_SPEC, STALLED
from controller.modelpool.objects import Json, generation_of, name_of, number, part, text
from controller.modelpool.pins import pin_word
from controller.modelpool.spelling import document_of
from controller.modelpool.translate import SPEC, translated
from controller.routing.table import pools_by_model


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterBase:
    """spillway.yaml and the environment, checked, without pools. `warnings`: of these alone."""

    parts: Parts
    state_dir: Path | None
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTarget:
    """Whose pods a pool's replicas are, and where they serve."""

    deployment: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodPool:
    """A pool that can be, as one generation of its object describes it."""

    pool: Pool
    target: PoolTarget
    generation: int
    step_times: StepTimes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPools:
    """`settings`: with the good pools. `problems`: of each object that has any, warnings too.

    `kept`: pools whose present spec is refused and that go on as an earlier generation had them.
    """

    settings: Settings
    problems: Mapping[str, tuple[Problem, ...]]
    good: Mapping[str, GoodPool] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()

    @property
    def targets(self) -> Mapping[str, PoolTarget]:
        """By the name of the pool."""
        return {name: one.target for name, one in self.good.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """One object on its own."""

    name: str
    document: Document
    found: GoodPool | None
    problems: tuple[Problem, ...]


def load_base(
    file: Path | None, environ: Mapping[str, str], *, today: date, state_dir: Path | None = None
) -> ClusterBase:
    """The checked base, or ConfigError with every error."""
    parts, problems = examine_parts(file, environ, today)
    if parts is None:
        raise ConfigError(tuple(problem for problem in problems if problem.severity == "error"))
    warnings = tuple(problem for problem in problems if problem.severity == "warning")
    return ClusterBase(parts=parts, state_dir=state_dir, warnings=warnings)


def cluster_pools(base: ClusterBase, objects: Iterable[Json], before: ClusterPools | None = None) -> ClusterPools:
    """The settings with the pools that can be, and what is wrong with the others.

    `before`: what held until now in this process; a pool whose new spec is refused goes on as it was there.
    """
    ordered = sorted(objects, key=_oldest)
    names = [name_of(source) for source in ordered]
    good: dict[str, GoodPool] = {}
    problems: dict[str, tuple[Problem, ...]] = {}
    kept: set[str] = set()
    for source in sorted(ordered, key=partial(_seniority, before=before)):
        one = _candidate(base, source)
        told = [*one.problems, *_together(base, one, good, names)]
        if one.found is not None and not is_refused(told):
            good[one.name] = one.found
        else:
            earlier = None if before is None else before.good.get(one.name)
            if earlier is not None and not is_refused(_together(base, replace(one, found=earlier), good, names)):
                good[one.name] = earlier
                kept.add(one.name)
        problems[one.name] = tuple(told)
    good = {name: good[name] for name in names if name in good}
    for name in good:
        if name not in kept:
            problems[name] += tuple(_use_warnings(base, name, good))
    return ClusterPools(
        settings=_settings(base, good),
        problems={name: found for name, found in problems.items() if found},
        good=good,
        kept=frozenset(kept),
    )


def versions_of(objects: Iterable[Json]) -> frozenset[tuple[str, str, int]]:
    """What `cluster_pools` need not be asked again for as long as it stays the same: which specs there are."""
    return frozenset(
        (name_of(source), text(part(source, "metadata"), "uid"), generation_of(source)) for source in objects
    )


def facts_of(
    pools: ClusterPools, source: Json, *, troubles: tuple[Trouble, ...] = (), selector: str = "", now_s: float
) -> PoolFacts:
    """What is known of one ModelPool for its status. `selector`: of the Deployment's pods, as a query has it."""
    name = name_of(source)
    good = pools.good.get(name)
    return PoolFacts(
        name=name,
        generation=generation_of(source),
        pool=None if good is None else good.pool,
        problems=pools.problems.get(name, ()),
        troubles=troubles,
        pin=pin_word(source, now_s),
        selector=selector,
        is_kept=name in pools.kept,
    )


def _oldest(source: Json) -> tuple[str, str]:
    return text(part(source, "metadata"), "creationTimestamp"), name_of(source)


def _seniority(source: Json, before: ClusterPools | None) -> int:
    """0: this generation is accepted, as its status says; 1: its status says nothing of it, but this process took it;
    2: neither, or it is refused.
    """
    stalled, generation = condition_of(part(source, "status"), STALLED), generation_of(source)
    if number(stalled, "observedGeneration") == generation:
        return 2 if text(stalled, "reason") == INVALID_SPEC else 0
    taken = None if before is None else before.good.get(name_of(source))
    return 1 if taken is not None and taken.generation == generation else 2


def _candidate(base: ClusterBase, source: Json) -> _Candidate:
    """The pool by itself: its form, its model, whether it fits its GPUs and its chain."""
    name = name_of(source)
    document = document_of(name)
    read, problems = translated(name, source, document)
    if read is None:
        return _Candidate(name=name, document=document, found=None, problems=problems)
    checked = check_pools([(SPEC, read.pool)], base.parts.models, document)
    checked = with_token_budgets(checked, () if read.says_budget else (name,), document)
    pool = checked.pools.get(name)
    found = None
    if pool is not None:
        target = PoolTarget(deployment=read.deployment, port=read.port)
        step_times = checked.step_times.get(name)
        found = GoodPool(pool=pool, target=target, generation=generation_of(source), step_times=step_times)
    return _Candidate(name=name, document=document, found=found, problems=checked.problems)


def _together(base: ClusterBase, one: _Candidate, good: Mapping[str, GoodPool], names: Sequence[str]) -> list[Problem]:
    """What is wrong with it beside the pools that stand already. `names`: in the order that all of them will have."""
    if one.found is None:
        return []
    pool, document = one.found.pool, one.document
    problems: list[Problem] = []
    for name, other in good.items():
        if other.target.deployment == one.found.target.deployment:
            at = (*SPEC, "scaleTargetRef", "name")
            message = f"modelpool/{name} has this Deployment already"
            problems.append(problem_at(document, at, message, "a Deployment of its own", other.target.deployment))
    beside = {name: other.pool for name, other in good.items()} | {one.name: pool}
    pools = [beside[name] for name in names if name in beside]
    problems += check_pool_circle(pool, pools_by_model(pools), document, SPEC)
    if pool.node_pool is not None:
        sections = base.parts.config.node_pools
        problems += check_node_pool(pool, pool.node_pool, sections, document, SPEC)
        problems += _minima(base, pool, pools, document)
    return problems


def _minima(base: ClusterBase, pool: Pool, pools: Sequence[Pool], document: Document) -> Iterator[Problem]:
    """That the fewest replicas of all that share its nodes do not fit them any more."""
    node_pool = node_pools_of(base.parts.config.node_pools).get(pool.node_pool or "")
    if node_pool is None:
        return
    too_many = minima_too_many(node_pool, [one for one in pools if one.node_pool == node_pool.name])
    if too_many is not None:
        at, allowed = (*SPEC, "replicas", "min"), f"at most {node_pool.gpus} GPUs on these nodes"
        yield problem_at(document, at, too_many, allowed, pool.scale.min_replicas)


def _use_warnings(base: ClusterBase, name: str, good: Mapping[str, GoodPool]) -> Iterator[Problem]:
    """Links of its chain that are dead, that no pool serves, or whose provider has no key."""
    parts, document = base.parts, document_of(name)
    routed = [((*SPEC, "spill", "to", index), key) for index, key in enumerate(good[name].pool.spill.to)]
    yield from lifetime_warnings(routed, parts.models, document, parts.today)
    yield from unserved_warnings(routed, parts.models, {one: at.pool for one, at in good.items()}, document)
    yield from key_warnings(routed, parts.models, parts.providers, parts.environ, document=document, today=parts.today)


def _settings(base: ClusterBase, good: Mapping[str, GoodPool]) -> Settings:
    """The settings of spillway.yaml with these pools. What is wrong with rules and tenants is among the warnings."""
    parts = base.parts
    pools = {name: one.pool for name, one in good.items()}
    steps = {name: one.step_times for name, one in good.items() if one.step_times is not None}
    chainless = {name: replace(pool, spill=SpillPolicy()) for name, pool in pools.items()}  # chains are told with them
    checked = CheckedPools(pools=chainless, places={}, step_times={}, problems=())
    tenants = (
        replace(one, severity="warning") for one in check_tenants(parts.config, parts.models, pools, parts.document)
    )
    found = dict.fromkeys([*base.warnings, *tenants, *use_problems(parts, checked)])
    settings = settings_of(parts, pools, steps, found)
    return settings if base.state_dir is None else replace(settings, state_dir=base.state_dir)
