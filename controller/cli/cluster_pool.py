"""`spillway pool` on a cluster: pins stand in the spec of the ModelPool, orders to drain on the pod.

They are written as `kubectl patch` and `kubectl annotate` would, so that either can take back what the other did.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster import Cluster, open_cluster
from controller.cli.cluster_options import ClusterWish
from controller.cli.errors import EXIT_UNCHANGED, EXIT_USAGE, CliError
from controller.cli.pool_report import account, note, report, unknown, within_bounds
from controller.cli.pool_words import instant, living, pin_command, pin_words, text, until_s
from controller.cli.status_conditions import known_figures
from controller.core.fleet import Pin, Replica, ReplicaState, RoutingMode
from controller.core.pools import ScalePolicy

if TYPE_CHECKING:
    from controller.adapters.kubernetes_sight import Sight

WHO_CHARS = 100  # as the CRD has it
TRIES = 8  # the status of a pool changes all the time, and its version with it
NOT_PINNED: Mapping[str, object] = {"spec": {"pin": None}}


def list_pools(wish: ClusterWish, *, as_json: bool) -> None:
    """The ModelPools with their bounds and pins, and their pods."""
    from controller.cli.pool_list import show_pools

    with open_cluster(wish) as cluster:
        sight, now_s = _look(cluster)
        show_pools([_row(name, sight, now_s) for name in sight.pools], now_s, as_json=as_json)
        if not as_json:
            _note_emptiness(cluster, sight)
            note_silence(cluster, sight)


def pin(
    wish: ClusterWish,
    *,
    pool: str,
    routing: RoutingMode | None,
    replicas: int | None,
    span: str | None,
    until: str | None,
    reason: str,
    who: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Hold routing or replicas of a ModelPool by `spec.pin`."""
    if routing is None and replicas is None:
        raise CliError("nothing to pin", "name --routing, --replicas or both", exit_code=EXIT_USAGE)
    why, now_s = text("--reason", reason, 'say why: --reason "..."'), time.time()
    end_s = until_s(span, until, now_s)
    wanted = Pin(routing=routing, replicas=replicas, who=_who(who or account()), reason=why, until_s=end_s)
    with open_cluster(wish) as cluster:
        sight, _ = _look(cluster)
        within_bounds(pool, _bounds(_pool(cluster, sight, pool)), replicas)
        before = _change_pin(cluster, pool, pin_patch(wanted), now_s, dry_run=dry_run)
        undo = wish.command(pin_command(pool, before) if before is not None else f"pool unpin {pool}")
        report(
            f"pool/{pool}",
            "pinned",
            changed=True,
            dry_run=dry_run,
            as_json=as_json,
            undo=undo,
            pin=wanted,
            before=before,
        )
        if not as_json:
            note(f"{pin_words(wanted)} until {instant(wanted.until_s)}, by {wanted.who}: {wanted.reason}")
            note_silence(cluster, sight)


def unpin(wish: ClusterWish, *, pool: str, dry_run: bool, error_unchanged: bool, as_json: bool) -> None:
    """Let the controller decide again."""
    with open_cluster(wish) as cluster:
        sight, now_s = _look(cluster)
        _pool(cluster, sight, pool)
        before = _change_pin(cluster, pool, NOT_PINNED, now_s, dry_run=dry_run)
        changed = before is not None
        undo = None if before is None else wish.command(pin_command(pool, before))
        done = "unpinned" if changed else "was not pinned"
        report(f"pool/{pool}", done, changed=changed, dry_run=dry_run, as_json=as_json, undo=undo, before=before)
        if not as_json and changed:
            note_silence(cluster, sight)
    if error_unchanged and not changed:
        raise typer.Exit(EXIT_UNCHANGED)


def drain(wish: ClusterWish, *, replica_id: str, dry_run: bool, error_unchanged: bool, as_json: bool) -> None:
    """Let a pod finish what it has, then go, by an annotation that the controller obeys."""
    with open_cluster(wish) as cluster:
        sight, _ = _look(cluster)
        replicas = sight.replicas()
        replica = replicas.get(replica_id)
        if replica is None:
            raise unknown("replica", replica_id, replicas, wish.command("pool list"))
        gone = replica.state in {ReplicaState.DRAINING, ReplicaState.LOST}
        changed = not gone and not sight.is_told_to_go(replica_id)
        if changed:
            _order_drain(cluster, replica, dry_run=dry_run)
        done = "draining" if changed else f"is {replica.state.value}" if gone else "was told to drain already"
        report(f"replica/{replica_id}", done, changed=changed, dry_run=dry_run, as_json=as_json)
        if not as_json and changed:
            _note_others(replica, replicas)
            note("there is no way back; the controller starts another where one is needed")
            note_silence(cluster, sight)
    if error_unchanged and not changed:
        raise typer.Exit(EXIT_UNCHANGED)


def pin_patch(wanted: Pin) -> Mapping[str, object]:
    """The merge patch that makes the pin this one and no other."""
    none = wanted.replicas == 0
    said = {
        "routing": "Auto" if wanted.routing is None else wanted.routing.value,
        "replicas": wanted.replicas or 0,
        "scaling": "Zero" if none else "Auto",
        "until": instant(wanted.until_s),
        "reason": wanted.reason,
        "who": wanted.who,
    }
    return {"spec": {"pin": said}}


def note_silence(cluster: Cluster, sight: Sight) -> None:
    """A word is obeyed by a living controller only."""
    if not sight.leader_is_known:
        note("the lease of the controllers may not be read: whether one lives is not known")
    elif sight.leader is None or not sight.leader.is_alive:
        note(f"no controller leads in namespace {cluster.namespace} now; it holds as soon as one does")


def _who(given: str) -> str:
    said = text("--who", given, "say who you are: --who")
    if len(said) > WHO_CHARS:
        why = f"a ModelPool holds {WHO_CHARS} characters of it, not {len(said)}"
        raise CliError("--who is too long", why, "say it shorter: --who", EXIT_USAGE)
    return said


def _look(cluster: Cluster) -> tuple[Sight, float]:
    from controller.adapters.kubernetes_sight import look

    now_s = time.time()
    return cluster.do(lambda client: look(client, now_s)), now_s


def _change_pin(cluster: Cluster, pool: str, patch: Mapping[str, object], now_s: float, *, dry_run: bool) -> Pin | None:
    """Afterwards the spec is as patched; the pin that it had. Nothing that somebody else wrote meanwhile is lost."""
    from controller.adapters.kubernetes_client import KubernetesClient
    from controller.adapters.kubernetes_kinds import MODEL_POOLS
    from controller.core.errors import ClusterConflict
    from controller.modelpool.pins import pin_word

    async def change(client: KubernetesClient) -> Pin | None:
        path = MODEL_POOLS.path(client.namespace, pool)
        params = {"fieldManager": "spillway-cli", **({"dryRun": "All"} if dry_run else {})}
        for tries in range(TRIES):
            now = await client.get(path)
            word = pin_word(now, now_s)
            version = {"metadata": {"resourceVersion": now["metadata"]["resourceVersion"]}}
            try:
                await client.patch(path, {**version, **patch}, params=params)
            except ClusterConflict:
                if tries == TRIES - 1:
                    raise
            else:
                return living(None if word is None else word.pin, now_s)
        raise AssertionError("the last try returns or raises")

    return cluster.do(change)


def _order_drain(cluster: Cluster, replica: Replica, *, dry_run: bool) -> None:
    from controller.adapters.kubernetes_kinds import PODS
    from controller.adapters.kubernetes_pods import DRAIN_ORDER

    if not replica.url and "#" in replica.replica_id:
        why = "it waits for a pod of its Deployment, and has none yet"
        raise CliError(f"replica {replica.replica_id} cannot be drained", why, exit_code=EXIT_USAGE)
    params = {"dryRun": "All"} if dry_run else None
    order = {"metadata": {"annotations": {DRAIN_ORDER: "true"}}}
    cluster.do(lambda client: client.patch(PODS.path(client.namespace, replica.replica_id), order, params=params))


def _note_others(replica: Replica, replicas: Mapping[str, Replica]) -> None:
    others = [one for one in replicas.values() if one.pool == replica.pool and one.state is ReplicaState.READY]
    if others == [replica]:
        note(f"{replica.pool} has no other ready replica: its requests go elsewhere until one is")


def _note_emptiness(cluster: Cluster, sight: Sight) -> None:
    if not sight.pools:
        note(f"there is no ModelPool in namespace {cluster.namespace}; in all: kubectl get modelpools -A")


def _pool(cluster: Cluster, sight: Sight, name: str) -> Mapping[str, object]:
    found = sight.pools.get(name)
    if found is None:
        raise unknown("pool", name, sight.pools, cluster.wish.command("pool list"))
    return found


def _bounds(pool: Mapping[str, object]) -> ScalePolicy:
    from controller.modelpool.objects import number, part

    said, usual = part(pool, "spec", "replicas"), ScalePolicy()
    low, high = number(said, "min"), number(said, "max")
    return ScalePolicy(
        min_replicas=usual.min_replicas if low is None else low,
        max_replicas=usual.max_replicas if high is None else high,
    )


def _row(name: str, sight: Sight, now_s: float) -> dict[str, object]:
    from controller.modelpool.objects import part
    from controller.modelpool.objects import text as text_of
    from controller.modelpool.pins import pin_word

    pool, view = sight.pools[name], sight.views[name]
    bounds, word = _bounds(pool), pin_word(pool, now_s)
    row = {
        "name": name,
        "model": text_of(part(pool, "spec"), "model"),
        "min_replicas": bounds.min_replicas,
        "max_replicas": bounds.max_replicas,
        "fixed": False,
        "ready": view.count(ReplicaState.READY),
        "routing": view.mode if part(pool, "status", "routing") else None,
        "pin": living(None if word is None else word.pin, now_s),
        "replicas": view.replicas,
    }
    return known_figures(pool, row)
