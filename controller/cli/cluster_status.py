"""`spillway status` on a cluster: ModelPools and their pods, and what gateways and the leading controller say."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from controller.cli.cluster import Cluster, open_cluster
from controller.cli.cluster_options import ClusterWish
from controller.cli.cluster_pages import Pages, read_pages, rotation_of_all, with_figures
from controller.cli.errors import CliError
from controller.cli.status import Output, gateway_figures, pool_row, show_status
from controller.cli.status_conditions import conditions_of, known_figures

if TYPE_CHECKING:
    from controller.adapters.kubernetes_client import KubernetesClient
    from controller.adapters.kubernetes_sight import Sight

SPEND, KEYS = "spillway_spend_usd_total", "spillway_provider_keys"


def status(wish: ClusterWish, *, watch: bool, output: Output | None, wide: bool, as_json: bool) -> None:
    """What each pool is doing and why."""
    shape = Output.JSON if as_json else Output.WIDE if wide else output
    with open_cluster(wish) as cluster:
        show_status(lambda: collect(cluster), shape, watch=watch)


def collect(cluster: Cluster) -> dict[str, object]:
    """Everything `status` shows, as data; the same names as on one machine, and `namespace` and `conditions` beside."""
    now_s = time.time()
    sight, pages = cluster.do(lambda client: _read(client, now_s))
    if not sight.pools and not sight.members("gateway"):
        raise CliError(
            f"no Spillway in {cluster.where}",
            "there is no ModelPool and no gateway that is ready",
            "name its namespace: --namespace NAME; where it may be: kubectl get modelpools --all-namespaces",
        )
    return document_of(sight, pages, now_s, cluster)


async def _read(client: KubernetesClient, now_s: float) -> tuple[Sight, Pages]:
    from controller.adapters.kubernetes_sight import look

    sight = await look(client, now_s)
    return sight, await read_pages(client, sight)


def document_of(sight: Sight, pages: Pages, now_s: float, cluster: Cluster) -> dict[str, object]:
    """The document out of what was read."""
    metrics, rotation, leader = gateway_figures(*pages.metrics.values()), rotation_of_all(pages.loads), sight.leader
    alive = leader is not None and leader.is_alive
    return {
        "at": datetime.fromtimestamp(now_s, UTC),
        "namespace": cluster.namespace,
        "stale": sight.leader_is_known and not alive,
        "age_s": None if leader is None else round(leader.age_s, 1),
        "controller_up": alive if sight.leader_is_known else None,
        "gateway_up": bool(pages.metrics),
        "pools": [
            {
                **known_figures(
                    sight.pools[name],
                    pool_row(with_figures(sight.views[name], pages.leading), metrics, model=_model(sight, name)),
                ),
                "rotation": None if rotation is None else rotation.get(name, []),
                "conditions": conditions_of(sight.pools[name]),
            }
            for name in sight.pools
        ],
        "providers": provider_rows(pages.metrics.values()),
        **_books(pages.books),
        "spent_since_start_usd": _spent(pages.metrics.values()),
        "books_command": cluster.wish.command("ledger report --by day"),
    }


def _books(page: bytes | None) -> dict[str, object]:
    """What `status_books` tells, as on one machine; None and nothing where no gateway can read its database."""
    import orjson

    from controller.cli.status_books import books_from

    try:
        return books_from(orjson.loads(page or b"{}"))
    except (ValueError, ArithmeticError):
        return books_from(None)


def provider_rows(metrics: Iterable[bytes]) -> list[dict[str, object]]:
    """The external providers as the gateways know them: by their keys."""
    counts: dict[str, dict[str, float]] = {}
    for labels, value in _figures(metrics, KEYS):
        states = counts.setdefault(labels.get("provider", ""), {})
        state = labels.get("state", "")
        states[state] = states.get(state, 0.0) + value
    return [
        {"name": name, "state": _key_words(states), "base_url": None, "api_key_env": "the gateways have none"}
        for name, states in sorted(counts.items())
    ]


def _key_words(states: Mapping[str, float]) -> str:
    if states.get("good"):
        return "usable"
    if states.get("resting"):
        return "resting"
    return "key refused" if states.get("refused") else "no key"


def _spent(metrics: Iterable[bytes]) -> dict[str, float] | None:
    """What these gateways have spent since they started, by kind; None where none answers."""
    found: dict[str, float] = {}
    for labels, value in _figures(metrics, SPEND):
        kind = labels.get("kind", "")
        found[kind] = found.get(kind, 0.0) + value
    return found or None


def _figures(metrics: Iterable[bytes], name: str) -> Iterable[tuple[Mapping[str, str], float]]:
    from controller.adapters.exposition import samples

    for text in metrics:
        try:
            found = list(samples(text.decode("utf-8", "replace"), (name,)))
        except ValueError:
            continue
        yield from ((sample.labels, sample.value) for sample in found)


def _model(sight: Sight, name: str) -> str | None:
    from controller.modelpool.objects import part, text

    return text(part(sight.pools[name], "spec"), "model") or None
