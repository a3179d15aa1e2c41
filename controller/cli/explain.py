"""`spillway explain pool NAME`: which term drove the last decisions about a pool, in words and numbers."""

from __future__ import annotations

import time
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster_options import also_on_cluster

if TYPE_CHECKING:
    from controller.config.settings import Settings
    from controller.core.fleet import PoolView, ScaleTerms

SECONDS_PER_HOUR = 3600.0


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `explain pool`."""
    explain = typer.Typer(help="Explain decisions.", no_args_is_help=True, rich_markup_mode=None)
    explain.callback()(_explain)
    examples = "Examples: spillway explain pool llama-8b    spillway explain pool llama-8b --json"
    explain.command("pool", epilog=examples)(explain_pool)
    app.add_typer(explain, name="explain")


def _explain() -> None:
    """Explain decisions."""


@also_on_cluster("cluster_explain:explain_pool")
def explain_pool(
    name: str = typer.Argument(..., help="the pool"),
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, help="state folder of the system [default: .spillway]"),
    as_json: bool = typer.Option(False, "--json", help="one JSON document on stdout"),
) -> None:
    """Say why a pool has the replicas and the routing it has: what replicas and buying cost, and who is ahead."""
    from controller.cli.errors import EXIT_USAGE, CliError
    from controller.cli.output import console, emit_json, say
    from controller.cli.state import require_state
    from controller.cli.status import STALE_AFTER_S
    from controller.cli.wiring import open_fleet, settings_from

    settings = settings_from(config, state_dir)
    view = open_fleet(settings).last()
    if view is None:
        require_state(settings)
        raise CliError("nothing has been published", "no controller has run here", "start one: spillway up")
    pool = view.pools.get(name)
    if pool is None:
        known = ", ".join(view.pools) or "none"
        raise CliError(f"no such pool: {name!r}", f"published pools: {known}", "spillway pool list", EXIT_USAGE)
    age_s = max(0.0, time.time() - view.published_at_s)
    if as_json:
        emit_json("pool_explained", {**facts(pool), "age_s": round(age_s, 1)})
    else:
        for line in told(pool, _home_use_ratio(settings, name)):
            console().print(line, markup=False)
    if age_s > STALE_AFTER_S:
        say("warning", f"this was decided {age_s:.0f} s ago; no controller publishes here now")


def facts(pool: PoolView) -> dict[str, object]:
    """What is told, as data."""
    from controller.core.fleet import ReplicaState

    return {
        "pool": pool.name,
        "ready": pool.count(ReplicaState.READY),
        "warming": pool.count(ReplicaState.WARMING),
        "desired": pool.desired_replicas,
        "missing": pool.missing_replicas,
        "routing": pool.mode,
        "routing_reason": pool.mode_reason,
        "spill_ratio": pool.spill_ratio,
        "saturation_ratio": pool.saturation_ratio,
        "scaling_reason": pool.decision_reason,
        "cold_starts_s": pool.cold_starts_s,
        "terms": pool.terms,
        "pin": pool.pin,
    }


def told(pool: PoolView, home_use_ratio: float | None = None) -> list[str]:
    """The same in words, a line each. `home_use_ratio`: of the pool, where its configuration is known."""
    from controller.cli.pool_words import instant, pin_words
    from controller.core.fleet import ReplicaState

    wanted = "as many as there are" if pool.desired_replicas is None else str(pool.desired_replicas)
    ready, warming = pool.count(ReplicaState.READY), pool.count(ReplicaState.WARMING)
    missing = f", {pool.missing_replicas} more would pay and cannot be had" if pool.missing_replicas else ""
    lines = [
        f"pool      {pool.name}: {ready} ready, {warming} warming, {wanted} wanted{missing}",
        f"routing   {_leaving(pool)}: {pool.mode_reason or 'nothing decided yet'}",
        f"scaling   {pool.decision_reason or 'nothing decided yet'}",
    ]
    if pool.saturation_ratio is not None:
        lines.append(
            f"full      {100.0 * pool.saturation_ratio:.0f} % of what its SLO leaves for waiting, or of its KV cache"
        )
    if pool.cold_starts_s:
        lines.append(f"starts    the last took {', '.join(f'{took_s:.0f}' for took_s in pool.cold_starts_s)} s")
    if pool.pin is not None:
        pin = pool.pin
        lines.append(f"pinned    {pin_words(pin)} until {instant(pin.until_s)}, by {pin.who}: {pin.reason}")
    if pool.terms is not None:
        return [*lines, *_money(pool.terms, ready + warming, home_use_ratio)]
    if pool.decision_reason:
        lines.append(
            "prices    none: no traffic yet, GPUs without a price, or nobody to spill to; a target use sizes it"
        )
    return lines


def _home_use_ratio(settings: Settings, name: str) -> float | None:
    """From which use on a replica of the pool is kept however cheap providers are."""
    pool = settings.pools.get(name)
    return None if pool is None else pool.scale.home_use_ratio


def _leaving(pool: PoolView) -> str:
    """The mode, and the share of requests that it sends away."""
    return f"{pool.mode}, {100.0 * pool.spill_ratio:.0f} % leaves" if pool.spill_ratio else str(pool.mode)


def _prices(terms: ScaleTerms, home_use_ratio: float | None) -> str:
    """What a replica costs and what its work would elsewhere, and from which use on a replica is kept."""
    having, buying = terms.replica_usd_per_s * SECONDS_PER_HOUR, terms.spill_usd_per_replica_s * SECONDS_PER_HOUR
    if having and home_use_ratio and home_use_ratio < 1.0 and isclose(buying, having / home_use_ratio):
        return (
            f"${having:.2f} an hour for a replica; its work elsewhere counts as ${buying:.2f} although it costs less: "
            f"home_use_ratio keeps a replica from {100.0 * home_use_ratio:.0f} % of use on"
        )
    return f"${having:.2f} an hour for a replica, ${buying:.2f} for its work elsewhere: {_pays(terms)}"


def _pays(terms: ScaleTerms) -> str:
    """From which use on a replica is the cheaper one."""
    if terms.replica_usd_per_s > terms.spill_usd_per_replica_s:
        return "it never pays"
    if not terms.spill_usd_per_replica_s:
        return "neither costs anything"
    return f"it pays from {100.0 * terms.replica_usd_per_s / terms.spill_usd_per_replica_s:.0f} % of use on"


def _money(terms: ScaleTerms, replicas: int, home_use_ratio: float | None) -> list[str]:
    """What it costs to have and to buy, who is ahead, and which patience leads."""
    up_usd, down_usd = terms.patience_up * terms.start_usd, terms.patience_down * terms.start_usd
    lines = [
        f"demand    {terms.demand_replicas:.2f} replicas' worth, as its SLO allows{_drift(terms)}",
        f"prices    {_prices(terms, home_use_ratio)}",
        f"start     ${terms.start_usd:.3g}{_cold_start(terms)} until a replica serves",
        f"next      replica {replicas + 1} starts once buying has cost ${up_usd:.3g} more than having it: "
        f"so far ${terms.off_lost_usd:.3g}",
    ]
    if replicas > terms.least_replicas:
        lines.append(
            f"last      replica {replicas} goes once having it has cost ${down_usd:.3g} more than buying: "
            f"so far {_so_far(terms.on_lost_usd)}"
        )
    elif replicas:
        lines.append(f"last      replica {replicas} stays whatever it costs: at least {terms.least_replicas} are kept")
    leader = (terms.patience_up, terms.patience_down, terms.patience_ahead)
    for up, down, ahead, spent_usd in terms.experts:
        leads = ", leads" if (up, down, ahead) == leader else ""
        trend = ", along the trend" if ahead else ""
        lines.append(
            f"rule      grows at {up:g} and shrinks at {down:g} times the price of a start{trend}: "
            f"would have spent ${spent_usd:.3g} of late{leads}"
        )
    return lines


def _cold_start(terms: ScaleTerms) -> str:
    """How long it takes, where the price of a start says so."""
    return f", {terms.start_usd / terms.replica_usd_per_s:.0f} s," if terms.replica_usd_per_s else ""


def _so_far(lost_usd: float) -> str:
    """What a replica has cost more; below zero it has kept work from being late."""
    return f"${lost_usd:.3g}" if lost_usd >= 0.0 else f"${-lost_usd:.3g} less, as it kept work from being late"


def _drift(terms: ScaleTerms) -> str:
    """What is added for where demand is going."""
    return f"; {terms.ahead_replicas:+.2f} by its trend until a replica serves" if terms.ahead_replicas else ""
