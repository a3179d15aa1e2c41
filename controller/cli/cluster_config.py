"""`spillway config` on a cluster: the spillway.yaml of its ConfigMap, or one that may become it, and its ModelPools.

What only pods have (keys, authorities' files, the database's URL) is taken as being there: they say so themselves when
it is not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster import Cluster, open_cluster
from controller.cli.cluster_options import ClusterWish
from controller.cli.errors import EXIT_USAGE, CliError
from controller.core.errors import ConfigError, Problem

if TYPE_CHECKING:
    from datetime import date

    from controller.adapters.kubernetes_client import KubernetesClient
    from controller.config.settings import Settings

KEY = "spillway.yaml"
IN_THE_CLUSTER = "in-the-cluster"
DATABASE = ("SPILLWAY_DATABASE_URL", "postgresql://in/the-cluster")
ONLY_THERE = ("ca_file",)
UNSEEN = "is a file of the pods: whether it is there and good cannot be told from here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a cluster is configured with. `environ`: of its gateways, as far as it can be read."""

    maps: Mapping[str, str]
    environ: Mapping[str, str]
    pools: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """`settings` None: spillway.yaml itself is refused. `origin`: where that is, in words."""

    origin: str
    settings: Settings | None
    problems: tuple[Problem, ...]


def validate(
    wish: ClusterWish, *, file: Path | None, config: Path | None, today: str | None, strict: bool, as_json: bool
) -> None:
    """Everything that is wrong with spillway.yaml and with each ModelPool."""
    from controller.cli import config as here
    from controller.cli.output import emit_json

    with open_cluster(wish) as cluster:
        checked = check(cluster, here.one_file(file, config), here.date_of(today))
    errors = [problem for problem in checked.problems if problem.severity == "error"]
    refused = ("error", "warning") if strict else ("error",)
    valid = not any(problem.severity in refused for problem in checked.problems)
    if as_json:
        emit_json("config-check", {"file": checked.origin, "valid": valid, "problems": checked.problems})
    else:
        here.tell(checked.origin, checked.problems, len(errors), valid=valid, following=wish.command("status"))
    if not valid:
        raise typer.Exit(EXIT_USAGE)


def show(wish: ClusterWish, *, file: Path | None, config: Path | None, today: str | None, as_json: bool) -> None:
    """What holds on the cluster, with the pools that can be."""
    from controller.cli import config as here
    from controller.cli.output import emit_json

    with open_cluster(wish) as cluster:
        settings = settings_there(cluster, here.one_file(file, config), here.date_of(today))
    if as_json:
        emit_json("config", settings)
    else:
        here.show_tables(settings, wish.command)


def settings_there(cluster: Cluster, file: Path | None, today: date) -> Settings:
    """The settings that the gateways work with; ConfigError where spillway.yaml is refused."""
    checked = check(cluster, file, today)
    if checked.settings is None:
        errors = tuple(problem for problem in checked.problems if problem.severity == "error")
        raise ConfigError(errors or checked.problems)
    return checked.settings


def check(cluster: Cluster, file: Path | None, today: date) -> Checked:
    """spillway.yaml, that of the cluster unless a file is named, with the ModelPools that there are."""
    told = cluster.do(read_configuration)
    if file is not None:
        return _checked(str(file), file, told, today)
    name, text = the_one(told.maps, cluster)
    with tempfile.TemporaryDirectory(prefix="spillway-") as folder:
        draft = Path(folder) / KEY
        draft.write_text(text, encoding="utf-8")
        return _checked(f"configmap/{name}", draft, told, today)


def the_one(maps: Mapping[str, str], cluster: Cluster) -> tuple[str, str]:
    """The ConfigMap with the configuration; CliError where there is none, or which of several is not clear."""
    if len(maps) == 1:
        return next(iter(maps.items()))
    names = ", ".join(sorted(maps))
    why = f"there are {names}" if maps else f"no ConfigMap of the chart has the key {KEY}"
    raise CliError(f"which spillway.yaml holds in {cluster.where} is not known", why, "name a file: --config FILE")


async def read_configuration(client: KubernetesClient) -> Told:
    """ConfigMaps, ModelPools, and the environment of the gateway's container."""
    import asyncio

    from controller.adapters.kubernetes_kinds import CONFIG_MAPS, DEPLOYMENTS, MODEL_POOLS
    from controller.adapters.kubernetes_sight import COMPONENT, GATEWAY, OURS, named

    ours = {"labelSelector": ",".join(f"{key}={value}" for key, value in OURS.items())}
    gateways = {"labelSelector": f"{ours['labelSelector']},{COMPONENT}={GATEWAY}"}
    maps, deployments, pools = await asyncio.gather(
        named(client, CONFIG_MAPS, ours), named(client, DEPLOYMENTS, gateways), named(client, MODEL_POOLS, {})
    )
    found = {name: (one.get("data") or {}).get(KEY) for name, one in maps.items()}
    return Told(
        maps={name: text for name, text in found.items() if isinstance(text, str)},
        environ=environment_of(deployments.values()),
        pools=tuple(pools.values()),
    )


def environment_of(deployments: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """The variables of the gateway's container; those out of Secrets are set, and their value is not read."""
    from controller.modelpool.objects import entries, part, text

    found: dict[str, str] = {}
    for deployment in deployments:
        for container in entries(part(deployment, "spec", "template", "spec"), "containers"):
            for one in entries(container, "env") if isinstance(container, Mapping) else ():
                if isinstance(one, Mapping) and text(one, "name"):
                    found[text(one, "name")] = text(one, "value") or IN_THE_CLUSTER
    if DATABASE[0] in found:
        found[DATABASE[0]] = DATABASE[1]
    return found


def _checked(origin: str, file: Path, told: Told, today: date) -> Checked:
    from controller.modelpool.cluster_pools import cluster_pools, load_base

    def placed(problems: Iterable[Problem]) -> tuple[Problem, ...]:
        return tuple(replace(one, file=origin) if one.file == str(file) else one for one in problems)

    environ = {**told.environ, **_keys_of(file, told.environ, today)}
    try:
        base = load_base(file, environ, today=today)
    except ConfigError as error:
        told_here = [
            replace(one, severity="warning", message=UNSEEN) if one.key.endswith(ONLY_THERE) else one
            for one in error.problems
        ]
        return Checked(origin=origin, settings=None, problems=placed(told_here))
    pools = cluster_pools(base, told.pools)
    problems = [*base.warnings, *(one for found in pools.problems.values() for one in found)]
    problems += [one for one in pools.settings.warnings if one not in problems]
    settings = replace(pools.settings, file=Path(origin), warnings=placed(pools.settings.warnings))
    return Checked(origin=origin, settings=settings, problems=placed(dict.fromkeys(problems)))


def _keys_of(file: Path, environ: Mapping[str, str], today: date) -> dict[str, str]:
    """Variables of the providers whose keys are files of the pods, as if they were set."""
    from controller.config.check import examine_parts

    parts, _ = examine_parts(file, environ, today)
    providers = () if parts is None else parts.providers.values()
    return {one.api_key_env: IN_THE_CLUSTER for one in providers if one.api_key_files}
