"""What operators have said about pools, as one small file, `spec/pools.json`: the CLI writes, the controller reads.

Satisfies `loop.ports.SpecFeed`. A write swaps the file whole and is done under a lock, so two operators lose nothing.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import orjson
import structlog

from controller.core.errors import SpillwayError
from controller.core.fleet import Pin, RoutingMode

log = structlog.get_logger()

Spec = tuple[dict[str, Pin], frozenset[str]]  # pins by pool, replicas to drain
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)


class SpecFiles:
    """Pins and drain orders of one state folder; an unreadable file keeps the last good word."""

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / "spec" / "pools.json"
        self._seen: tuple[int, int, int] | None = None
        self._spec: Spec = ({}, frozenset())

    def pins(self) -> Mapping[str, Pin]:
        """By pool; expired ones may be among them."""
        return self._current()[0]

    def drains(self) -> frozenset[str]:
        """Replicas to be drained and stopped."""
        return self._current()[1]

    def read(self) -> Spec:
        """What the file says now; SpillwayError when it cannot be read, for then no change may build on it."""
        try:
            return _decode(self._file.read_bytes())
        except FileNotFoundError:
            return {}, frozenset()
        except _UNREADABLE as error:
            raise SpillwayError(f"{self._file} cannot be read: {error}; mend it, or remove it to start anew") from error

    def pin(self, pool: str, pin: Pin) -> Pin | None:
        """Afterwards the pool is pinned; returns the pin that this one replaces."""
        return self._change(pool, lambda pins: pins.update({pool: pin}))

    def unpin(self, pool: str) -> Pin | None:
        """Afterwards the pool is not pinned; returns the pin there was."""
        return self._change(pool, lambda pins: pins.pop(pool, None))

    def order_drain(self, replica_id: str, *, known: Iterable[str]) -> bool:
        """Whether this call ordered it; orders for replicas that are not `known` any more are forgotten."""
        with self._locked():
            pins, drains = self.read()
            if replica_id in drains:
                return False
            self._write(pins, (drains & frozenset(known)) | {replica_id})
            return True

    def _change(self, pool: str, edit: Callable[[dict[str, Pin]], object]) -> Pin | None:
        with self._locked():
            pins, drains = self.read()
            before, changed = pins.get(pool), dict(pins)
            edit(changed)
            self._write(changed, drains)
            return before

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with (self._file.parent / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise SpillwayError(f"cannot write {self._file}: {error.strerror or error}") from error

    def _current(self) -> Spec:
        try:
            stat = self._file.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._seen = seen
                self._spec = _decode(self._file.read_bytes())
        except FileNotFoundError:
            self._seen, self._spec = None, ({}, frozenset())
        except _UNREADABLE as error:
            log.warning("pool_spec_unreadable", path=str(self._file), error=str(error))
        return self._spec

    def _write(self, pins: Mapping[str, Pin], drains: frozenset[str]) -> None:
        document = {"pins": {name: asdict(pin) for name, pin in pins.items()}, "drains": sorted(drains)}
        draft = self._file.with_suffix(".tmp")
        draft.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        draft.replace(self._file)


def _decode(data: bytes) -> Spec:
    raw = orjson.loads(data)
    pins = {
        str(name): Pin(
            routing=None if pin["routing"] is None else RoutingMode(pin["routing"]),
            replicas=None if pin["replicas"] is None else int(pin["replicas"]),
            who=str(pin["who"]),
            reason=str(pin["reason"]),
            until_s=float(pin["until_s"]),
        )
        for name, pin in raw["pins"].items()
    }
    return pins, frozenset(map(str, raw["drains"]))
