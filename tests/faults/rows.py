"""One row of the fault matrix: when the fault was there, seen and gone, and whether every invariant held."""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import invariants
from tests.faults.good_caller import Service
from tests.faults.world import World

OUT_VARIABLE = "SPILLWAY_FAULTS_OUT"
SEED_VARIABLE = "SPILLWAY_FAULTS_SEED"
D9_VARIABLE = "SPILLWAY_FAULTS_D9_S"
OK = "ok"


@dataclass
class Row:
    """Notes times in seconds since the row began; the first note of a kind stays."""

    case: str
    what: str
    seed: int
    began_s: float = field(default_factory=time.monotonic)
    injected_at_s: float | None = None
    detected_at_s: float | None = None
    healed_at_s: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    invariants: dict[str, str] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)  # of figures, on a calm machine
    others: tuple[Service, Service] | None = None  # how a good caller fared before and during the fault

    def __post_init__(self) -> None:
        """Chance comes from the seed alone."""
        self.random = random.Random(self.seed)

    def _now_s(self) -> float:
        return round(time.monotonic() - self.began_s, 3)

    def injected(self) -> None:
        """The fault is there."""
        self.injected_at_s = self.injected_at_s or self._now_s()

    def detected(self) -> None:
        """The gateway has acted on it."""
        self.detected_at_s = self.detected_at_s or self._now_s()

    def healed(self) -> None:
        """Service is as it was."""
        self.healed_at_s = self.healed_at_s or self._now_s()

    def within(self, name: str, value_s: float, limit_s: float) -> None:
        """A time that must keep to its limit where waiting times mean something: on a calm machine."""
        self.figures[name], self.limits[name] = round(value_s, 3), limit_s

    def too_slow(self) -> str:
        """Which times did not keep to their limits, or nothing."""
        late = ((name, self.figures[name], limit_s) for name, limit_s in self.limits.items())
        return "; ".join(
            f"{name} {value_s:g} s, allowed {limit_s:g}" for name, value_s, limit_s in late if value_s > limit_s
        )

    def document(self, error: str | None) -> dict[str, object]:
        """The row's JSON line."""
        return {
            "case": self.case,
            "what": self.what,
            "passed": error is None and all(said == OK for said in self.invariants.values()),
            "injected_at_s": self.injected_at_s,
            "detected_at_s": self.detected_at_s,
            "healed_at_s": self.healed_at_s,
            "took_s": self._now_s(),
            "invariants": self.invariants,
            "figures": self.figures,
            "seed": self.seed,
            "error": error,
        }


def seed_of() -> int:
    """A fresh one, or the one to repeat."""
    return int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(2**32))


@contextlib.asynccontextmanager
async def row(world: World, case: str, what: str) -> AsyncIterator[Row]:
    """Runs a row against a world at rest; afterwards its line is written and every invariant held."""
    before = await invariants.baseline(world)
    await world.watcher.begin()
    with bare_row(case, what) as one:
        yield one
        await _check(world, one, before)
    broken = {name: said for name, said in one.invariants.items() if said != OK}
    assert not broken, f"{case}: {broken} (seed {one.seed})"


@contextlib.contextmanager
def bare_row(case: str, what: str) -> Iterator[Row]:
    """A row without a gateway, for what happens before there is one; afterwards its line is written."""
    one = Row(case, what, seed_of())
    try:
        yield one
    except BaseException as error:
        _emit(one, f"{type(error).__name__}: {error}".splitlines()[0][:300])
        raise
    _emit(one, None)


async def _check(world: World, one: Row, before: invariants.Baseline) -> None:
    health = await world.watcher.end()
    said = one.invariants
    said["pid"] = invariants.check_pid(world)
    said["I2"] = await invariants.check_settled(world, before)
    said["I1 I4"] = invariants.check_answers(world)
    said["I3"] = await invariants.check_books(world)
    said["I5"] = await invariants.check_canaries(world)
    said["I6"], figures = await invariants.check_calm(world, before, health)
    said["I7"] = invariants.check_amplification(world, before)
    one.figures.update(figures)
    if one.others is not None:
        quiet, busy = one.others
        one.figures.update(busy.ratios(quiet))
        said["others"] = busy.complaint(quiet) if health.is_calm else ""
    if one.limits:
        said["times"] = one.too_slow() if health.is_calm else ""
    for name, wrong in said.items():
        said[name] = wrong or OK


def _emit(one: Row, error: str | None) -> None:
    line = json.dumps(one.document(error))
    print(line)  # what a row is for
    if out := os.environ.get(OUT_VARIABLE):
        with Path(out).open("a") as sink:
            sink.write(line + "\n")
