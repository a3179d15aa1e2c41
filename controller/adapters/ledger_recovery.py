"""Purchases whose outcome nobody will tell any more: billed as estimated, flagged, whoever had reserved them.

A reservation is given up at its expiry, or earlier when its holder is dead: a process of this machine that is gone, or
one of another machine that has not been seen for a while. Should the holder live after all (a machine that slept), its
own word replaces the estimate when it comes.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Sequence

import psutil
from sqlalchemy import Connection, Row, delete, exists, or_, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from controller.adapters.database_tables import holder, reservation, spend
from controller.core.ledger import Reservation
from controller.routing.budget import HOUR_S, hour_of

SEEN_INTERVAL_S = 5.0
DEAD_AFTER_S = 30.0  # six times not seen
CLOCK_SLACK_S = 1.0  # a start time moves a little when the clock is set
SWEEP_ROWS = 500
KEPT_HOURS = 48  # of pools' spending; no purchase is settled so late
_HELD_COLUMNS = tuple(column.name for column in reservation.columns if column.name != "holder")


def new_holder() -> str:
    """A name that no other process has had."""
    return secrets.token_hex(8)


class Recovery:
    """What one holder does for itself and about the others; each call is part of the caller's transaction."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._host = socket.gethostname()
        self._pid = os.getpid()
        self._started_s = psutil.Process().create_time()
        self._seen_since_s: float | None = None  # monotonic: since when the database has answered without a gap
        self._seen_s: float | None = None
        self._cleared_at_s = 0.0

    def clear_hours(self, connection: Connection, now_s: float) -> None:
        """What pools spent in hours long ago goes, once an hour: nothing is decided by it any more."""
        if now_s - self._cleared_at_s >= HOUR_S:
            self._cleared_at_s = now_s
            is_hour = spend.c.period.like("____-__-__T__")
            connection.execute(delete(spend).where(is_hour, spend.c.period < hour_of(now_s - KEPT_HOURS * HOUR_S)))

    def be_seen(self, connection: Connection, now_s: float) -> None:
        """Afterwards the others know that this process lives."""
        insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
        connection.execute(
            insert(holder)
            .values(
                holder=self._own,
                host=self._host,
                pid=self._pid,
                process_started_s=self._started_s,
                seen_at_s=now_s,
            )
            .on_conflict_do_update(index_elements=[holder.c.holder], set_={"seen_at_s": now_s})
        )

    def was_seen(self) -> None:
        """To be told once that is committed."""
        at_s = time.monotonic()
        if self._seen_s is None or at_s - self._seen_s > DEAD_AFTER_S:
            self._seen_since_s = at_s
        self._seen_s = at_s

    def leave(self, connection: Connection) -> None:
        """Afterwards this holder is forgotten, unless it leaves reservations behind."""
        self._forget(connection, [self._own])

    def lost(self, connection: Connection, now_s: float) -> list[Reservation]:
        """Reservations to be given up, locked; some of them, if there are very many."""
        dead = self._dead(connection, now_s)
        condition = reservation.c.expires_at_s <= now_s
        if dead:
            condition = or_(condition, reservation.c.holder.in_(dead))
        rows = connection.execute(
            select(reservation)
            .where(condition)
            .order_by(reservation.c.request_id)
            .limit(SWEEP_ROWS)
            .with_for_update(skip_locked=True)
        ).all()
        if not rows:
            self._forget(connection, dead)
        return [Reservation(**{name: getattr(row, name) for name in _HELD_COLUMNS}) for row in rows]

    def _dead(self, connection: Connection, now_s: float) -> list[str]:
        others = connection.execute(select(holder).where(holder.c.holder != self._own)).all()
        steady = self._seen_since_s is not None and time.monotonic() - self._seen_since_s > DEAD_AFTER_S
        return [row.holder for row in others if self._is_dead(row, now_s, steady=steady)]

    def _is_dead(self, row: Row[tuple[object, ...]], now_s: float, *, steady: bool) -> bool:
        """Not seen counts only where this process had no gap itself: after an outage nobody has been seen."""
        if row.host == self._host:
            return not _is_alive(row.pid, row.process_started_s)
        return steady and bool(now_s - row.seen_at_s > DEAD_AFTER_S)

    def _forget(self, connection: Connection, holders: Sequence[str]) -> None:
        if holders:
            reserved = exists().where(reservation.c.holder == holder.c.holder)
            connection.execute(delete(holder).where(holder.c.holder.in_(holders), ~reserved))


def _is_alive(pid: int, started_s: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started_s) <= CLOCK_SLACK_S
    except psutil.NoSuchProcess:
        return False
