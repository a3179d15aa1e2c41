"""Health, readiness, metrics, live load and today's spend, on a port of their own that callers never reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson
from prometheus_client.registry import Collector

from controller.core.fleet import PoolView, ReplicaState
from controller.gateway.answers import JSON, Headers, send_whole
from controller.gateway.app import Gateway
from controller.gateway.books_page import BooksPage, ReadBooks
from controller.gateway.loads import LiveLoad
from controller.gateway.ports import Line
from controller.routing.balance import RAMP_S
from controller.telemetry.gateway_metrics import registry_of, render
from controller.telemetry.ledger_metrics import LedgerMetrics
from controller.telemetry.provider_metrics import ProviderMetrics

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_METRICS = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
BOOKS = b"/v1/books"
Answer = tuple[int, tuple[bytes, bytes], bytes]


class Admin:
    """A callable; every answer is ready at once, but for that of the books."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        now_s: Callable[[], float],
        collectors: Sequence[Collector] = (),
        is_ready: Callable[[], bool] = lambda: True,
        books: ReadBooks = dict,
    ) -> None:
        self._gateway = gateway
        self._is_ready = is_ready
        self._now_s = now_s
        keys = ProviderMetrics(lambda: gateway.credentials.states(gateway.settings.providers.values(), now_s()))
        ledger = LedgerMetrics(gateway.ledger.backlog)
        self._registry = registry_of(gateway.metrics, gateway.replica_metrics, keys, ledger, *collectors)
        self._routes: dict[bytes, Callable[[], Answer]] = {
            b"/healthz": lambda: (200, _TEXT, b"ok\n"),
            b"/readyz": self._ready,
            b"/metrics": lambda: (200, _METRICS, render(self._registry)),
            b"/v1/loads": self._loads,
        }
        self._books = BooksPage(books, now_s)
        self._unknown = b"not found; see %b\n" % b" ".join((*self._routes, BOOKS))

    async def __call__(self, line: Line) -> None:
        """One request."""
        route = self._routes.get(line.path)
        if line.path == BOOKS and line.method == b"GET":
            status, kind, body = await self._told_books()
        elif route is None or line.method != b"GET":
            status, kind, body = 404, _TEXT, self._unknown
        else:
            status, kind, body = route()
        headers: Headers = [kind]
        send_whole(line, status, headers, body)

    async def _told_books(self) -> Answer:
        body = await self._books.body()
        return (503, _TEXT, b"the ledger cannot be read now\n") if body is None else (200, JSON, body)

    def _ready(self) -> Answer:
        if self._gateway.draining:
            return 503, _TEXT, b"draining\n"
        if not self._is_ready():
            return 503, _TEXT, b"the pools of the cluster are not known yet\n"
        return 200, _TEXT, b"ready\n"

    def _loads(self) -> Answer:
        now_s = self._now_s()
        view = self._gateway.pools.view()
        document = {
            "fleet_revision": view.revision,
            "in_flight": self._gateway.metrics.in_flight,
            "pools": {name: _seen(pool) for name, pool in view.pools.items()},
            "replicas": {replica_id: _live(load, now_s) for replica_id, load in self._gateway.loads.all()},
            "left_alone_s": {**self._gateway.breakers.closed_to(now_s), **self._gateway.credentials.closed_to(now_s)},
        }
        return 200, JSON, orjson.dumps(document)


def _live(load: LiveLoad, now_s: float) -> dict[str, object]:
    """A replica as this gateway knows it."""
    standing, fit = load.standing, load.fit
    return {
        "pool": load.pool,
        "in_flight": load.in_flight,
        "load": load.at(now_s),
        "slowness": {"prefill": round(fit.prefill.factor, 3), "decode": round(fit.decode.factor, 3)},
        "warm_prefixes": len(load.warm),
        "ejected": standing.reason,
        "ejected_s": round(standing.wait_s(now_s), 3),
        "ramp_ratio": None if standing.ramp_from_s is None else round(standing.ramp_ratio(now_s, RAMP_S), 3),
    }


def _seen(pool: PoolView) -> dict[str, object]:
    """A pool as this gateway routes by it."""
    states = {state.value: pool.count(state) for state in ReplicaState}
    return {"mode": pool.mode, "spill_ratio": pool.spill_ratio, **states}
