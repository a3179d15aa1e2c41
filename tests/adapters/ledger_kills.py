"""Processes that are killed at a commit boundary of the ledger, again and again, and the books after each.

Run as a process of its own that has no thread, so that it can fork: each life is a fork, and takes milliseconds.
`python -m tests.adapters.ledger_kills PLACE FOLDER FIRST_SEED SEEDS` prints one line per seed that went wrong.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from controller.adapters.database import open_database
from controller.adapters.database_tables import ledger, reservation, spend
from controller.adapters.ledger_store import LedgerStore
from controller.core.ledger import Verdict
from controller.core.requests import TargetKind
from controller.routing.budget import SpendLimits, periods
from controller.telemetry import failpoints
from tests.adapters.ledger_values import CENT_NANOUSD, NOON_S, entry, open_store, wish

LIMIT_CENTS = 40
REQUESTS = 30
PLACES = (
    "ledger.money.begun",
    "ledger.money.before_commit",
    "ledger.money.after_commit",
    "ledger.rows.before_commit",
    "ledger.rows.after_commit",
    "ledger.sweep.before_commit",
    "ledger.sweep.after_commit",
)
BOTH = SpendLimits(day_nanousd=LIMIT_CENTS * CENT_NANOUSD, month_nanousd=LIMIT_CENTS * CENT_NANOUSD)


def limits_of(_tenant: str) -> SpendLimits:
    """Each seed is a tenant with a limit that its requests reach."""
    return BOTH


@dataclass
class Told:
    """What a life acknowledged before its end: by request id, the cost in cents; None where there is none yet."""

    granted: dict[str, int] = field(default_factory=dict)
    posted: dict[str, int] = field(default_factory=dict)
    voided: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)  # posted or voided, and committed
    own: set[str] = field(default_factory=set)


def fork(life: Callable[[int], None]) -> tuple[int, int]:
    """A child that lives this life, writing to a pipe: its pid, and the pipe's end to read."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    status = 1
    try:
        life(writing)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it was, the parent must hear of it
        traceback.print_exc()
    finally:
        os._exit(status)


def finished(pid: int, reading: int) -> tuple[int, list[list[str]]]:
    """How the child ended, and the words of each line it wrote."""
    with os.fdopen(reading, encoding="ascii") as pipe:
        lines = [line.split() for line in pipe]
    return os.waitpid(pid, 0)[1], lines


async def _serve(store: LedgerStore, tenant: str, chance: random.Random, say: Callable[..., None]) -> None:
    """Requests as a gateway has them: reserve, then post, void, or neither in this life."""

    async def request(number: int) -> None:
        name, cents = f"{tenant}-{number}", chance.randint(1, 4)
        outcome = chance.choice(["post", "post", "void", "hang", "own"])
        await asyncio.sleep(chance.random() * 0.02)
        if outcome == "own":
            store.post(entry(name, tenant=tenant, target_kind=TargetKind.OWN))
        elif await store.reserve(wish(name, 2 * cents, tenant=tenant)) is not Verdict.GRANTED:
            return
        else:
            say("granted", name, cents)
            await asyncio.sleep(chance.random() * 0.01)
            if outcome == "post":
                say("posted", name, cents)
                store.post(entry(name, tenant=tenant, cost_nanousd=cents * CENT_NANOUSD))
            elif outcome == "void":
                say("voided", name)
                store.void(name)
            else:
                return
        if await asyncio.to_thread(store.flush):
            say("own" if outcome == "own" else "settled", name)

    await asyncio.gather(*(request(number) for number in range(REQUESTS)))


def work(place: Path | str, folder: Path, seed: int, armed: str) -> Callable[[int], None]:
    """One life of a gateway, which ends at a failpoint if it comes that far."""

    def life(writing: int) -> None:
        failpoints.arm(armed)
        store = open_store(place, folder, limits_of, group_commit_s=0.002)
        chance = random.Random(seed)

        def say(*words: object) -> None:
            os.write(writing, (" ".join(map(str, words)) + "\n").encode())

        asyncio.run(_serve(store, f"t{seed}", chance, say))

    return life


def recover(place: Path | str, folder: Path, armed: str) -> Callable[[int], None]:
    """A start after the crash: what the dead have left is given up at once."""

    def life(_writing: int) -> None:
        failpoints.arm(armed)
        store = open_store(place, folder, limits_of)
        assert store.recovered(timeout_s=20)
        store.close()

    return life


def heard(lines: list[list[str]]) -> Told:
    """What the lines say."""
    told = Told()
    for word, name, *cents in lines:
        if word == "granted":
            told.granted[name] = int(cents[0])
        elif word == "posted":
            told.posted[name] = int(cents[0])
        else:
            {"voided": told.voided, "settled": told.settled, "own": told.own}[word].add(name)
    return told


def faults_in(place: Path | str, tenant: str, told: Told) -> list[str]:
    """What is wrong with the books of this tenant after recovery."""
    engine = open_database(place)
    with engine.connect() as connection:
        rows = {row.request_id: row for row in connection.execute(select(ledger).where(ledger.c.tenant == tenant))}
        held = connection.execute(select(func.count()).where(reservation.c.tenant == tenant)).scalar_one()
        sums = {row.period: row for row in connection.execute(select(spend).where(spend.c.tenant == tenant))}
    engine.dispose()
    wrong = [f"{held} reservations are left"] if held else []
    bought = sum(row.cost_nanousd for row in rows.values() if row.target_kind == TargetKind.EXTERNAL.value)
    for period in periods(NOON_S):
        row = sums.get(period)
        spent, reserved = (0, 0) if row is None else (row.spent_nanousd, row.reserved_nanousd)
        if (spent, reserved) != (bought, 0):
            wrong.append(f"{period}: spent {spent}, reserved {reserved}, rows say {bought}")
        if spent > LIMIT_CENTS * CENT_NANOUSD:
            wrong.append(f"{period}: {spent} is over the limit")
    for name, cents in told.granted.items():
        row = rows.get(name)
        known = row is not None and not row.outcome_unknown and row.cost_nanousd == cents * CENT_NANOUSD
        flagged = row is not None and row.outcome_unknown and row.cost_nanousd == cents * CENT_NANOUSD
        if name in told.settled and name in told.posted and not known:
            wrong.append(f"{name}: a posted row was lost")
        elif name in told.settled and name in told.voided and row is not None:
            wrong.append(f"{name}: charged though it was void")
        elif name not in told.settled and name in told.posted and not (known or flagged):
            wrong.append(f"{name}: posted, neither there nor charged as unknown")
        elif name not in told.posted and name not in told.voided and not flagged:
            wrong.append(f"{name}: unknown outcome not charged")
    wrong += [f"{name}: an own row was lost" for name in told.own if name not in rows]
    return wrong


def one_seed(place: Path | str, folder: Path, seed: int) -> list[str]:
    """A life that is killed, one or two starts after it, and the books."""
    chance = random.Random(-seed)
    armed = f"{chance.choice(PLACES)}@{chance.randint(1, 6)}:kill"
    _status, lines = finished(*fork(work(place, folder, seed, armed)))
    if chance.random() < 0.3:
        again = chance.choice(("ledger.sweep.before_commit@1:kill", "ledger.sweep.after_commit@1:kill"))
        finished(*fork(recover(place, folder, again)))
    status, _ = finished(*fork(recover(place, folder, "")))
    wrong = [f"recovery ended with {status}"] if status else []
    return [f"seed {seed} {armed}: {fault}" for fault in wrong + faults_in(place, f"t{seed}", heard(lines))]


def watch(place: Path | str) -> Callable[[int], None]:
    """Another process that looks at the sums all the time; it ends with 1 as soon as one is over its limit."""

    def life(writing: int) -> None:
        engine = open_database(place)
        over = select(spend).where(spend.c.spent_nanousd + spend.c.reserved_nanousd > LIMIT_CENTS * CENT_NANOUSD)
        while True:
            with engine.connect() as connection:
                for row in connection.execute(over):
                    os.write(writing, f"over {row.tenant} {row.period}\n".encode())
                    return
            time.sleep(0.001)

    return life


def main(place_text: str, folder_text: str, first: int, seeds: int) -> int:
    """All seeds; the number that went wrong."""
    place: Path | str = place_text if "://" in place_text else Path(place_text)
    open_database(place).dispose()
    watcher, reading = fork(watch(place))
    wrong = [fault for seed in range(first, first + seeds) for fault in one_seed(place, Path(folder_text), seed)]
    os.kill(watcher, signal.SIGKILL)
    _, seen = finished(watcher, reading)
    wrong += [" ".join(words) for words in seen]
    sys.stdout.write("\n".join(wrong or [f"seeds {first} to {first + seeds - 1}: books true"]) + "\n")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
