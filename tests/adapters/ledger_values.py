"""Entries and reservations for the tests of the ledger, and a store around them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from controller.adapters.ledger_store import LedgerStore
from controller.core.ledger import AttemptRecord, LedgerEntry, Reservation
from controller.core.money import Usage
from controller.core.requests import TargetKind
from controller.routing.budget import LimitsOf, SpendLimits

NOON_S = time.time() // 86_400 * 86_400 + 43_200  # of today: what expires must lie ahead
CENT_NANOUSD = 10_000_000
TEN_CENTS = SpendLimits(day_nanousd=10 * CENT_NANOUSD)

ENTRY = LedgerEntry(
    request_id="r-1",
    at_s=NOON_S,
    tenant="acme",
    key_id="k1",
    operation="chat",
    requested_model="auto",
    task="code",
    complexity="medium",
    status=200,
    target_kind=TargetKind.EXTERNAL,
    target="openai",
    model_key="gpt-4o-mini",
    model_id="gpt-4o-mini-2024-07-18",
    replica_id=None,
    usage=Usage(input_tokens=100, output_tokens=20, cached_input_tokens=60, estimated=False),
    cost_nanousd=CENT_NANOUSD,
    spilled=True,
    reason="spilling",
    chain=("llama-8b", "openai"),
    attempts=(
        AttemptRecord(
            target="llama-8b",
            kind=TargetKind.OWN,
            model_key="llama-8b-self",
            replica_id="llama-8b-1",
            outcome="no connection",
            status=None,
            started_after_s=0.001,
            took_s=0.002,
        ),
        AttemptRecord(
            target="openai",
            kind=TargetKind.EXTERNAL,
            model_key="gpt-4o-mini",
            replica_id=None,
            outcome="answered",
            status=200,
            started_after_s=0.004,
            took_s=0.4,
        ),
    ),
    predicted_ttft_s=0.25,
    ttft_s=0.31,
    e2e_s=0.41,
    error=None,
    simulated=True,
    stream=True,
    gpu_s=0.125,
)
WISH = Reservation(
    request_id="r-1",
    expires_at_s=NOON_S + 1e6,
    amount_nanousd=CENT_NANOUSD,
    estimate_nanousd=CENT_NANOUSD // 2,
    at_s=NOON_S,
    tenant="acme",
    key_id="k1",
    operation="chat",
    requested_model="auto",
    complexity="medium",
    target="openai",
    model_key="gpt-4o-mini",
    model_id="gpt-4o-mini-2024-07-18",
    input_tokens=100,
    output_tokens=20,
    spilled=True,
    simulated=True,
    stream=True,
)


def entry(request_id: str, **changes: object) -> LedgerEntry:
    """An entry with changes."""
    return replace(ENTRY, request_id=request_id, **changes)  # type: ignore[arg-type]


def wish(request_id: str, cents: float = 1, **changes: object) -> Reservation:
    """A reservation of so many cents, estimated at half of that."""
    amount = int(cents * CENT_NANOUSD)
    return replace(WISH, **{"request_id": request_id, "amount_nanousd": amount, "estimate_nanousd": amount // 2, **changes})  # type: ignore[arg-type]  # fmt: skip  # noqa: E501


def unlimited(_tenant: str) -> SpendLimits:
    """Nobody has a limit."""
    return SpendLimits()


def ten_cents(tenant: str) -> SpendLimits:
    """acme may buy for ten cents a day, nobody else has a limit."""
    return TEN_CENTS if tenant == "acme" else SpendLimits()


def open_store(place: Path | str, folder: Path, limits_of: LimitsOf = ten_cents, **options: object) -> LedgerStore:
    """A store with its journal in the folder; patient, as the machine may be busy."""
    options.setdefault("reserve_wait_s", 10.0)
    return LedgerStore(place, limits_of, journal_folder=folder / "journal", **options)  # type: ignore[arg-type]


def sums(store: LedgerStore, tenant: str = "acme", at_s: float = NOON_S) -> tuple[float, float]:
    """Cents spent and reserved in the day; the month of one day must say the same, unless the test spans days."""
    day, _month = store.reader.spend(at_s).get(tenant, (None, None))
    return (0, 0) if day is None else (day.spent_nanousd / CENT_NANOUSD, day.reserved_nanousd / CENT_NANOUSD)
