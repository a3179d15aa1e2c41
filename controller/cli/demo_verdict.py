"""What the demo proves, as checks over figures from four independent books: client, ledger, engines, provider."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controller.cli.demo_story import PoolHistory
from controller.cli.traffic import Played
from controller.core.ledger import LedgerEntry

FIGURES = ("requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost_nanousd")
Tally = Mapping[str, int]  # the figures of one model, and `cut`: answers that were not given whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise: whether it held, and the figures that say so."""

    name: str
    passed: bool
    figures: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was counted. `servers`: tallies by model id of engines and stand-in provider, summed."""

    played: Sequence[Played]
    entries: Sequence[LedgerEntry]
    servers: Mapping[str, Tally]
    in_flight: Mapping[str, float]
    spilled: Mapping[str, int]  # by pool
    pools: Mapping[str, PoolHistory]


def judge(evidence: Evidence) -> tuple[Check, ...]:
    """Every check, in the order to show them."""
    return (
        _nothing_lost(evidence),
        _books_agree(evidence),
        _nothing_in_flight(evidence),
        _whole_story(evidence),
        _nothing_cut(evidence),
    )


def summed(tallies: Iterable[Mapping[str, Tally]]) -> dict[str, dict[str, int]]:
    """Tallies of several servers added up by model id."""
    total: dict[str, dict[str, int]] = {}
    for tally in tallies:
        for model_id, figures in tally.items():
            mine = total.setdefault(model_id, {})
            for name, value in figures.items():
                mine[name] = mine.get(name, 0) + value
    return total


def _nothing_lost(evidence: Evidence) -> Check:
    sent, rows = evidence.played, Counter(entry.request_id for entry in evidence.entries)
    whole = [one for one in sent if one.answer.complete]
    ids = Counter(one.request_id for one in sent)
    served = sum(tally.get("requests", 0) for tally in evidence.servers.values())
    passed = len(whole) == len(sent) > 0 and None not in ids and ids == rows and served == len(sent)
    passed = passed and max(rows.values(), default=0) == 1
    return Check(
        name="no request lost or answered twice",
        passed=passed,
        figures=f"{len(sent)} sent, {len(whole)} answered whole, {len(rows)} in the ledger, {served} by upstreams",
    )


def _books_agree(evidence: Evidence) -> Check:
    ours = _ledger_tallies(evidence.entries)
    models = sorted(ours.keys() | evidence.servers.keys())
    differences = [
        f"{model_id} {name}: ledger {mine}, server {theirs}"
        for model_id in models
        for name in FIGURES
        if (mine := ours.get(model_id, {}).get(name, 0)) != (theirs := evidence.servers.get(model_id, {}).get(name, 0))
    ]
    tokens = sum(tally["input_tokens"] + tally["output_tokens"] for tally in ours.values())
    cost_usd = sum(tally["cost_nanousd"] for tally in ours.values()) / 1e9
    agreed = f"{tokens:,} tokens and ${cost_usd:.6f} over {len(models)} models, equal on both sides"
    return Check(
        name="ledger equals the servers' own counts",
        passed=bool(models) and not differences,
        figures="; ".join(differences[:3]) or agreed,
    )


def _ledger_tallies(entries: Iterable[LedgerEntry]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for entry in entries:
        tally = found.setdefault(entry.model_id or "<none>", dict.fromkeys(FIGURES, 0))
        usage = entry.usage
        values = (1, usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, entry.cost_nanousd)
        for name, value in zip(FIGURES, values, strict=True):
            tally[name] += value
    return found


def _nothing_in_flight(evidence: Evidence) -> Check:
    left = {name: value for name, value in evidence.in_flight.items() if value}
    words = ", ".join(f"{name} {value:g}" for name, value in left.items())
    return Check(
        name="in-flight counters back to 0",
        passed=bool(evidence.in_flight) and not left,
        figures=words or f"{len(evidence.in_flight)} counters of gateway, pools, replicas and engines",
    )


def _whole_story(evidence: Evidence) -> Check:
    spilled = evidence.spilled
    stories = []
    for name, pool in evidence.pools.items():
        went = pool.spilling_at_s is not None and spilled.get(name, 0) > 0
        back = pool.local_again_at_s is not None and pool.warming_seen_by_router
        if went and back and pool.grew and pool.shrunk_at_s is not None:
            stories.append(
                f"{name}: {spilled[name]} spilled, routing Spilling from {pool.spilling_at_s:.0f} s, "
                f"{pool.ready_at_start} -> {pool.ready_most} replicas, Local again at {pool.local_again_at_s:.0f} s, "
                f"shrunk by {pool.shrunk_at_s:.0f} s"
            )
    missing = "no pool did all four: " + "; ".join(
        f"{name} spilled {spilled.get(name, 0)}, ready {pool.ready_at_start} -> {pool.ready_most}, "
        f"Local again {pool.local_again_at_s}, shrunk {pool.shrunk_at_s}"
        for name, pool in evidence.pools.items()
    )
    return Check(
        name="a pool spilled, grew, un-spilled and shrank",
        passed=bool(stories),
        figures="; ".join(stories) or missing,
    )


def _nothing_cut(evidence: Evidence) -> Check:
    drained = {replica: count for pool in evidence.pools.values() for replica, count in pool.drained.items()}
    cut = sum(tally.get("cut", 0) for tally in evidence.servers.values())
    broken = sum(1 for one in evidence.played if one.answer.status == 200 and not one.answer.complete)
    gone = all(replica in pool.gone for pool in evidence.pools.values() for replica in pool.drained)
    return Check(
        name="no stream cut by a scale-down",
        passed=bool(drained) and gone and not cut and not broken,
        figures=f"{len(drained)} replicas drained with {sum(drained.values())} requests open; {cut + broken} cut",
    )
