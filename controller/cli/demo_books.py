"""Gathers the demo's evidence from four books: the client's, the ledger, the engines', the stand-in provider's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from controller.adapters.exposition import samples
from controller.cli.demo_verdict import Evidence, Tally, summed
from controller.cli.leftovers import read_record

if TYPE_CHECKING:
    from controller.adapters.local_http import LocalHttp
    from controller.cli.demo_story import PoolHistory
    from controller.cli.traffic import Played
    from controller.cli.up import System
    from controller.core.ledger import LedgerEntry

ENGINE_SAVES_S = 0.3  # engines write their counts five times a second
POLL_S = 0.1
GATEWAY_GAUGES = ("spillway_in_flight", "spillway_gateway_in_flight", "spillway_replica_in_flight")
ENGINE_GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting")
SPILLED = "spillway_spilled_requests_total"


def collect(
    system: System,
    http: LocalHttp,
    played: Sequence[Played],
    pools: Mapping[str, PoolHistory],
    within_s: float,
) -> Evidence:
    """The evidence, once every request is in the ledger or `within_s` has passed. Blocks: for a thread."""
    deadline_s = time.monotonic() + within_s
    entries = _entries(system)
    while len(entries) < len(played) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
        entries = _entries(system)
    time.sleep(ENGINE_SAVES_S)
    gateway = http.get(f"{system.supervisor.admin_url}/metrics") or b""
    spilled: dict[str, int] = {}
    for sample in samples(gateway.decode(), (SPILLED,)):
        spilled[sample.labels["pool"]] = spilled.get(sample.labels["pool"], 0) + int(sample.value)
    return Evidence(
        played=tuple(played),
        entries=entries,
        servers=summed(_tallies(system, http)),
        in_flight=dict(_in_flight(system, http, gateway)),
        spilled=spilled,
        pools=pools,
    )


def first_spilled(system: System, request_id: str) -> LedgerEntry | None:
    """The ledger's word on one request; None while it is not written yet."""
    from controller.cli.wiring import open_ledger_reader

    reader = open_ledger_reader(system.settings)
    if reader is None:
        return None
    try:
        return reader.find(request_id)
    finally:
        reader.close()


def _entries(system: System) -> tuple[LedgerEntry, ...]:
    from controller.cli.wiring import open_ledger_reader

    reader = open_ledger_reader(system.settings)
    if reader is None:
        return ()
    try:
        return tuple(reader.entries())
    finally:
        reader.close()


def _tallies(system: System, http: LocalHttp) -> Iterator[Mapping[str, Tally]]:
    """By model id, of each engine that ever ran (its file outlives it) and of the stand-in provider."""
    documents: list[object] = [read_record(path) for path in _usage_files(system.settings.state_dir)]
    if system.supervisor.standin_url is not None:
        documents.append(http.get_json(f"{system.supervisor.standin_url}/standin/usage"))
    for document in documents:
        if isinstance(document, dict):
            yield cast("Mapping[str, Tally]", document["models"])


def _usage_files(state_dir: Path) -> list[Path]:
    return sorted((state_dir / "run" / "usage").glob("*.json"))


def _in_flight(system: System, http: LocalHttp, gateway: bytes) -> Iterator[tuple[str, float]]:
    for sample in samples(gateway.decode(), GATEWAY_GAUGES):
        yield f"{sample.name}{sample.labels or ''}", sample.value
    view = system.supervisor.view()
    for pool in view.pools.values() if view is not None else ():
        for replica in pool.replicas:
            text = http.get(f"{replica.url}/metrics") or b""
            for sample in samples(text.decode(), ENGINE_GAUGES):
                yield f"{replica.replica_id} {sample.name}", sample.value
