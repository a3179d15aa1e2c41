"""`spillway pool`: what an operator says about a pool. It is written down, and the controller's next tick obeys it.

Every pin carries who, why and an expiry, and each change prints the command that takes it back.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster_options import also_on_cluster
from controller.cli.errors import EXIT_UNCHANGED, EXIT_USAGE, CliError
from controller.cli.pool_report import account, note, report, unknown, within_bounds
from controller.cli.pool_words import command, instant, living, pin_command, pin_words, text, until_s
from controller.core.fleet import Pin, Replica, ReplicaState, RoutingMode

if TYPE_CHECKING:
    from controller.config.settings import Settings
    from controller.core.pools import Pool

CONFIG = typer.Option(None, "--config", "-c", help="spillway.yaml to use")
STATE_DIR = typer.Option(None, "--state-dir", help="state folder of the system [default: .spillway]")
AS_JSON = typer.Option(False, "--json", help="one JSON document on stdout")
DRY_RUN = typer.Option(False, "--dry-run", help="check and tell, change nothing")
ERROR_UNCHANGED = typer.Option(False, "--error-unchanged", help="exit 3 if there was nothing to change")


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `pool list|pin|unpin|drain`."""
    from controller.cli.pool_list import list_pools

    pool = typer.Typer(help="List, pin, unpin and drain pools.", no_args_is_help=True, rich_markup_mode=None)
    pool.command("list", epilog="Examples: spillway pool list    spillway pool list --json")(list_pools)
    pin_examples = (
        'Examples: spillway pool pin llama-8b --routing External --reason "driver update"    '
        'spillway pool pin llama-8b --replicas 3 --for 12h --reason "launch day"'
    )
    pool.command("pin", epilog=pin_examples)(pin)
    pool.command("unpin", epilog="Example: spillway pool unpin llama-8b")(unpin)
    pool.command("drain", epilog="Example: spillway pool drain llama-8b-3f9c2a    IDs: spillway pool list")(drain)
    app.add_typer(pool, name="pool")


@also_on_cluster("cluster_pool:pin")
def pin(
    pool: str = typer.Argument(..., help="name of the pool"),
    *,
    routing: RoutingMode | None = typer.Option(None, case_sensitive=False, help="where its requests go"),
    replicas: int | None = typer.Option(None, help="how many it has, within its bounds"),
    span: str | None = typer.Option(None, "--for", help="how long, such as 90m, 4h, 1d12h; at most 7d [default: 4h]"),
    until: str | None = typer.Option(None, help="or until when, such as 2026-11-25T18:00:00Z"),
    reason: str = typer.Option(..., help="why, for whoever looks next"),
    who: str | None = typer.Option(None, help="who says so [default: $USER]"),
    dry_run: bool = DRY_RUN,
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
    as_json: bool = AS_JSON,
) -> None:
    """Hold a pool's routing or replica count, whatever the controller thinks, until the pin expires."""
    from controller.cli.wiring import open_spec

    settings = _settings(config, state_dir)
    found, now_s = _pool(settings, pool), time.time()
    wanted = Pin(
        routing=routing,
        replicas=within_bounds(found.name, found.scale, replicas, is_fixed=bool(found.endpoints)),
        who=text("--who", who or account(), "say who you are: --who"),
        reason=text("--reason", reason, 'say why: --reason "..."'),
        until_s=until_s(span, until, now_s),
    )
    if routing is None and replicas is None:
        raise CliError("nothing to pin", "name --routing, --replicas or both", exit_code=EXIT_USAGE)
    spec = open_spec(settings)
    before = living(spec.read()[0].get(pool) if dry_run else spec.pin(pool, wanted), now_s)
    undo = command(pin_command(pool, before) if before is not None else f"pool unpin {pool}", config, state_dir)
    report(
        f"pool/{pool}", "pinned", changed=True, dry_run=dry_run, as_json=as_json, undo=undo, pin=wanted, before=before
    )
    if not as_json:
        note(f"{pin_words(wanted)} until {instant(wanted.until_s)}, by {wanted.who}: {wanted.reason}")
        _note_silence(settings, now_s)


@also_on_cluster("cluster_pool:unpin")
def unpin(
    pool: str = typer.Argument(..., help="name of the pool"),
    *,
    dry_run: bool = DRY_RUN,
    error_unchanged: bool = ERROR_UNCHANGED,
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
    as_json: bool = AS_JSON,
) -> None:
    """Let the controller decide again. Fine when nothing was pinned."""
    from controller.cli.wiring import open_spec

    settings, now_s = _settings(config, state_dir), time.time()
    spec = open_spec(settings)
    pins = spec.read()[0]
    if pool not in pins:
        _pool(settings, pool)
    before = living(pins.get(pool) if dry_run or pool not in pins else spec.unpin(pool), now_s)
    undo = None if before is None else command(pin_command(pool, before), config, state_dir)
    changed = before is not None
    done = "unpinned" if changed else "was not pinned"
    report(f"pool/{pool}", done, changed=changed, dry_run=dry_run, as_json=as_json, undo=undo, pin=None, before=before)
    if not as_json and changed:
        _note_silence(settings, now_s)
    if error_unchanged and not changed:
        raise typer.Exit(EXIT_UNCHANGED)


@also_on_cluster("cluster_pool:drain")
def drain(
    replica_id: str = typer.Argument(..., help="ID that `spillway pool list` shows"),
    *,
    dry_run: bool = DRY_RUN,
    error_unchanged: bool = ERROR_UNCHANGED,
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
    as_json: bool = AS_JSON,
) -> None:
    """Let a replica finish what it has, then stop it; the controller starts another where one is needed."""
    from controller.cli.wiring import open_spec

    settings = _settings(config, state_dir)
    replicas = _known_replicas(settings)
    replica = replicas.get(replica_id)
    if replica is None:
        raise unknown("replica", replica_id, replicas)
    fixed = settings.pools.get(replica.pool)
    if fixed is not None and fixed.endpoints:
        why = f"pool {replica.pool} has fixed endpoints, which are not Spillway's to stop"
        fix = f'spillway pool pin {replica.pool} --routing External --reason "..."'
        raise CliError(f"replica {replica_id} cannot be drained", why, fix, exit_code=EXIT_USAGE)
    spec = open_spec(settings)
    changed = replica.state in {ReplicaState.READY, ReplicaState.WARMING} and replica_id not in spec.read()[1]
    if changed and not dry_run:
        changed = spec.order_drain(replica_id, known=replicas)
    done = "draining" if changed else f"is {replica.state.value}" if _gone(replica) else "was told to drain already"
    report(f"replica/{replica_id}", done, changed=changed, dry_run=dry_run, as_json=as_json)
    if not as_json and changed:
        others = [one for one in replicas.values() if one.pool == replica.pool and one.state is ReplicaState.READY]
        if others == [replica]:
            note(f"{replica.pool} has no other ready replica: its requests go elsewhere until one is")
        note("there is no way back; the controller starts another where one is needed")
        _note_silence(settings, time.time())
    if error_unchanged and not changed:
        raise typer.Exit(EXIT_UNCHANGED)


def _settings(config: Path | None, state_dir: Path | None) -> Settings:
    """Of a folder that a controller reads: a word written elsewhere would never be obeyed."""
    from controller.cli.state import require_state
    from controller.cli.wiring import settings_from

    settings = settings_from(config, state_dir)
    require_state(settings)
    return settings


def _gone(replica: Replica) -> bool:
    return replica.state in {ReplicaState.DRAINING, ReplicaState.LOST}


def _pool(settings: Settings, name: str) -> Pool:
    found = settings.pools.get(name)
    if found is None:
        raise unknown("pool", name, settings.pools)
    return found


def _known_replicas(settings: Settings) -> dict[str, Replica]:
    from controller.cli.wiring import open_fleet

    view = open_fleet(settings).last()
    if view is None:
        raise CliError(
            f"nothing has been published in {settings.state_dir}", "no controller has run on it", "spillway up"
        )
    return {one.replica_id: one for pool in view.pools.values() for one in pool.replicas}


def _note_silence(settings: Settings, now_s: float) -> None:
    """A word is obeyed by a running controller only."""
    from controller.cli.status import STALE_AFTER_S
    from controller.cli.wiring import open_fleet

    view = open_fleet(settings).last()
    if view is None or now_s - view.published_at_s > STALE_AFTER_S:
        note("no controller publishes here now; it holds as soon as one does")
