"""One transaction over money: reservations, settlements and voids of many requests, exact whoever else is at it.

Reservations are locked before sums, and both in the order of their keys, so that two gateways never wait for each
other in a circle. All of it may be tried again after a commit whose end nobody saw: a second time changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from sqlalchemy import Connection, Delete, Dialect, Select, and_, bindparam, delete, or_, select, update
from sqlalchemy.sql.dml import ReturningDelete

from controller.adapters.database_tables import ledger, reservation, spend
from controller.adapters.ledger_rows import entry_row, storable
from controller.adapters.ledger_statements import ByKeys, Inserter, Parameters, Row, driver_text
from controller.core.ledger import LedgerEntry, Reservation, Verdict
from controller.core.requests import TargetKind
from controller.routing.budget import HourLimitOf, Key, LimitsOf, SpendRow, SpendSheet, keys_of

_SPENT = (
    update(spend)
    .where(spend.c.tenant == bindparam("of_tenant"), spend.c.period == bindparam("of_period"))
    .values(spent_nanousd=bindparam("spent"), reserved_nanousd=bindparam("reserved"))
)  # its parameters in the order of its text: spent, reserved, tenant, period
_HELD_COLUMNS = tuple(column.name for column in reservation.columns)
_HOLDER_AT = _HELD_COLUMNS.index("holder")
_wished: attrgetter[Row] = attrgetter(*(name for name in _HELD_COLUMNS if name != "holder"))


def _forget(ids: Sequence[Parameters]) -> ReturningDelete[tuple[str, str, float, str | None, int]]:
    columns = (reservation.c.tenant, reservation.c.at_s, reservation.c.home_pool, reservation.c.amount_nanousd)
    return (
        delete(reservation)
        .where(reservation.c.request_id.in_([name for (name,) in ids]))
        .returning(reservation.c.request_id, *columns)
    )


def _find_booked(ids: Sequence[Parameters]) -> Select[tuple[str, str, float, str | None, str, int, bool]]:
    return select(
        ledger.c.request_id, ledger.c.tenant, ledger.c.at_s, ledger.c.home_pool, ledger.c.target_kind,
        ledger.c.cost_nanousd, ledger.c.outcome_unknown,
    ).where(ledger.c.request_id.in_([name for (name,) in ids]))  # fmt: skip


def _unbook(ids: Sequence[Parameters]) -> Delete:
    return delete(ledger).where(ledger.c.request_id.in_([name for (name,) in ids]))


def _lock_sums(keys: Sequence[Parameters]) -> Select[tuple[str, str, int, int]]:
    named = (and_(spend.c.tenant == tenant, spend.c.period == period) for tenant, period in keys)
    columns = (spend.c.tenant, spend.c.period, spend.c.spent_nanousd, spend.c.reserved_nanousd)
    return select(*columns).where(or_(*named)).order_by(spend.c.tenant, spend.c.period).with_for_update()


@dataclass(frozen=True, slots=True)
class Void:
    """The purchase did not happen."""

    request_id: str


Operation = Reservation | LedgerEntry | Void


@dataclass(frozen=True, slots=True)
class _Held:
    tenant: str
    at_s: float
    pool: str | None
    amount_nanousd: int


@dataclass(frozen=True, slots=True)
class _Booked:
    tenant: str
    at_s: float
    pool: str | None
    bought_nanousd: int
    outcome_unknown: bool


@dataclass(slots=True)
class _Group:
    """What the transaction has read, and what it will write. Reservations that it read are deleted already."""

    sheet: SpendSheet
    held: dict[str, _Held]
    booked: dict[str, _Booked]
    reserved: dict[str, Reservation] = field(default_factory=dict)
    entries: dict[str, LedgerEntry] = field(default_factory=dict)
    unbooked: set[str] = field(default_factory=set)


class MoneyDesk:
    """Carries out groups of operations for one holder of reservations."""

    def __init__(self, dialect: Dialect, *, holder: str, limits_of: LimitsOf, hour_limit_of: HourLimitOf) -> None:
        self._holder = holder
        self.limits_of = limits_of
        self.hour_limit_of = hour_limit_of
        self._entries = Inserter(ledger, dialect)
        self._reservations = Inserter(reservation, dialect)
        self._sums = Inserter(spend, dialect)
        self._forget = ByKeys(dialect, _forget)
        self._find_booked = ByKeys(dialect, _find_booked)
        self._unbook = ByKeys(dialect, _unbook)
        self._lock_sums = ByKeys(dialect, _lock_sums, width=2)
        self._set_sums = driver_text(_SPENT, dialect)
        self._known: set[Key] = set()  # sums whose rows are there
        self.held: set[str] = set()  # requests with a reservation of ours

    def carry_out(
        self, connection: Connection, operations: Sequence[Operation], *, careful: bool = False
    ) -> list[Verdict | None]:
        """What each reservation was told; None for other operations. True once the caller's transaction commits.

        `careful`: an earlier commit may or may not have happened, or rows may hold what no database can.
        """
        if careful:
            self._known.clear()
        group = self._read(connection, operations, careful=careful)
        verdicts = [self._apply(group, operation) for operation in operations]
        self._write(connection, group, careful=careful)
        return verdicts

    def committed(self, operations: Sequence[Operation], verdicts: Sequence[Verdict | None]) -> None:
        """To be told once the transaction has ended well."""
        for operation, verdict in zip(operations, verdicts, strict=True):
            if verdict is Verdict.GRANTED:
                self.held.add(operation.request_id)
            else:
                self.held.discard(operation.request_id)

    def _read(self, connection: Connection, operations: Sequence[Operation], *, careful: bool) -> _Group:
        wanted = {
            operation.request_id
            for operation in operations
            if careful or not isinstance(operation, Reservation) or operation.request_id in self.held
        }
        held = {
            name: _Held(tenant, at_s, pool, amount_nanousd)
            for name, tenant, at_s, pool, amount_nanousd in self._forget.run(connection, _keys(wanted))
        }
        posted = {operation.request_id for operation in operations if isinstance(operation, LedgerEntry)}
        booked = self._read_booked(connection, posted - held.keys())
        places = [(found.tenant, found.at_s, found.pool) for found in held.values()]
        places += [(found.tenant, found.at_s, found.pool) for found in booked.values()]
        places += [(op.tenant, op.at_s, _buyer(op)) for op in operations if not isinstance(op, Void)]
        keys = {key for place in places for key in keys_of(*place)}
        return _Group(sheet=SpendSheet(self._read_sums(connection, keys)), held=held, booked=booked)

    def _read_booked(self, connection: Connection, ids: set[str]) -> dict[str, _Booked]:
        external = TargetKind.EXTERNAL.value
        return {
            name: _Booked(tenant, at_s, pool, cost_nanousd if kind == external else 0, bool(outcome_unknown))
            for name, tenant, at_s, pool, kind, cost_nanousd, outcome_unknown in self._find_booked.run(
                connection, _keys(ids)
            )
        }

    def _read_sums(self, connection: Connection, keys: set[Key]) -> dict[Key, SpendRow]:
        missing = keys - self._known
        found: dict[Key, SpendRow] = {}
        while keys:
            if missing:
                self._sums.insert(connection, [(*key, 0, 0) for key in sorted(missing)])
            for whose, period, spent_nanousd, reserved_nanousd in self._lock_sums.run(connection, sorted(keys)):
                found[whose, period] = SpendRow(spent_nanousd, reserved_nanousd)
            missing = keys - found.keys()  # somebody deleted it: that is no reason to forget what is spent from now on
            if not missing:
                break
        self._known |= keys
        return found

    def _apply(self, group: _Group, operation: Operation) -> Verdict | None:
        before = group.held.pop(operation.request_id, None)
        if before is not None:
            group.sheet.release(before.tenant, before.at_s, before.amount_nanousd, pool=before.pool)
            group.reserved.pop(operation.request_id, None)
        if isinstance(operation, Void):
            return None
        if isinstance(operation, LedgerEntry):
            _post(group, operation)
            return None
        return self._reserve(group, operation)

    def _reserve(self, group: _Group, wish: Reservation) -> Verdict:
        pool = wish.home_pool
        verdict = group.sheet.reserve(
            wish.tenant,
            wish.at_s,
            wish.amount_nanousd,
            self.limits_of(wish.tenant),
            pool=pool,
            hour_nanousd=None if pool is None else self.hour_limit_of(pool),
        )
        if verdict is Verdict.GRANTED:
            group.held[wish.request_id] = _Held(wish.tenant, wish.at_s, pool, wish.amount_nanousd)
            group.reserved[wish.request_id] = wish
        return verdict

    def _write(self, connection: Connection, group: _Group, *, careful: bool) -> None:
        held = [self._held_row(wish) for wish in group.reserved.values()]
        entries = [entry_row(entry) for entry in group.entries.values()]
        if careful:
            held, entries = storable(held), storable(entries)
        self._reservations.insert(connection, held)
        self._unbook.run(connection, _keys(group.unbooked))
        self._entries.insert(connection, entries)
        changed = [
            (row.spent_nanousd, row.reserved_nanousd, whose, period) for whose, period, row in group.sheet.changed()
        ]
        if changed:
            connection.exec_driver_sql(self._set_sums, changed)

    def _held_row(self, wish: Reservation) -> Row:
        values = _wished(wish)
        return (*values[:_HOLDER_AT], self._holder, *values[_HOLDER_AT:])


def _keys(ids: Iterable[str]) -> list[Row]:
    return [(name,) for name in sorted(ids)]


def _buyer(operation: Reservation | LedgerEntry) -> str | None:
    """The pool for which it is bought: what own pools serve is not, and has no row of its own to lock."""
    is_own = isinstance(operation, LedgerEntry) and operation.target_kind is not TargetKind.EXTERNAL
    return None if is_own else operation.home_pool


def _post(group: _Group, entry: LedgerEntry) -> None:
    """Once per id; but what is known takes the place of an estimate that was booked because nothing was known."""
    known = group.booked.get(entry.request_id)
    if known is not None:
        if not known.outcome_unknown or entry.outcome_unknown:
            return
        group.sheet.spend(known.tenant, known.at_s, -known.bought_nanousd, pool=known.pool)
        group.unbooked.add(entry.request_id)
    bought_nanousd = entry.cost_nanousd if entry.target_kind is TargetKind.EXTERNAL else 0
    if bought_nanousd:
        group.sheet.spend(entry.tenant, entry.at_s, bought_nanousd, pool=entry.home_pool)
    group.booked[entry.request_id] = _Booked(
        entry.tenant, entry.at_s, entry.home_pool, bought_nanousd, entry.outcome_unknown
    )
    group.entries[entry.request_id] = entry
