"""`spillway explain pool NAME`: which term drove the last decisions about a pool, in words and numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
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
        for line in told(pool):
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


def told(pool: PoolView) -> list[str]:
    """The same in words, a line each."""
    from controller.cli.pool_words import instant, pin_words
    from controller.core.fleet import ReplicaState

    wanted = "as many as there are" if pool.desired_replicas is None else str(pool.desired_replicas)
    ready, warming = pool.count(ReplicaState.READY), pool.count(ReplicaState.WARMING)
    missing = f", {pool.missing_replicas} more would pay and cannot be had" if pool.missing_replicas else ""
    lines = [
        f"pool      {pool.name}: {ready} ready, {warming} warming, {wanted} wanted{missing}",
        f"routing   {pool.mode}, {100.0 * pool.spill_ratio:.0f} % leaves: {pool.mode_reason or 'nothing decided yet'}",
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
    return lines if pool.terms is None else [*lines, *_money(pool.terms, ready + warming)]


def _pays(terms: ScaleTerms) -> str:
    """From which use on a replica is the cheaper one."""
    if terms.replica_usd_per_s > terms.spill_usd_per_replica_s:
        return "it never pays"
    if not terms.spill_usd_per_replica_s:
        return "neither costs anything"
    return f"it pays from {100.0 * terms.replica_usd_per_s / terms.spill_usd_per_replica_s:.0f} % of use on"


def _money(terms: ScaleTerms, replicas: int) -> list[str]:
    """What it costs to have and to buy, who is ahead, and which patience leads."""
    having, buying = terms.replica_usd_per_s * SECONDS_PER_HOUR, terms.spill_usd_per_replica_s * SECONDS_PER_HOUR
    up_usd, down_usd = terms.patience_up * terms.start_usd, terms.patience_down * terms.start_usd
    lines = [
        f"demand    {terms.demand_replicas:.2f} replicas' worth, as its SLO allows{_drift(terms)}",
        f"prices    ${having:.2f} an hour for a replica, ${buying:.2f} for its work elsewhere: {_pays(terms)}",
        f"start     ${terms.start_usd:.3g} until a replica serves",
        f"next      replica {replicas + 1} starts once buying has cost ${up_usd:.3g} more than having it: "
        f"so far ${terms.off_lost_usd:.3g}",
    ]
    if replicas > terms.least_replicas:
        lines.append(
            f"last      replica {replicas} goes once having it has cost ${down_usd:.3g} more than buying: "
            f"so far ${terms.on_lost_usd:.3g}"
        )
    leader = (terms.patience_up, terms.patience_down, terms.patience_ahead)
    for up, down, ahead, spent_usd in terms.experts:
        leads = ", leads" if (up, down, ahead) == leader else ""
        trend = " along its trend" if ahead else ""
        lines.append(
            f"patience  {up:g} starts to grow, {down:g} to shrink{trend}: would have spent ${spent_usd:.3g}{leads}"
        )
    return lines


def _drift(terms: ScaleTerms) -> str:
    """What is added for where demand is going."""
    return f"; {terms.ahead_replicas:+.2f} by its trend until a replica serves" if terms.ahead_replicas else ""
