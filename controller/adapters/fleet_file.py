"""The published fleet view as one file: the controller writes `run/fleet.json`, every gateway watches it.

A rename swaps the file whole, so a reader sees the old view or the new one and never half of either. When the
controller is gone the file stays, and the gateways go on with the last known view.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import orjson
import structlog

from controller.core.fleet import FleetView, Pin, PoolView, Replica, ReplicaState, RoutingMode, ScaleTerms

log = structlog.get_logger()

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)


def encode_view(view: FleetView) -> bytes:
    """The view as JSON."""
    return orjson.dumps(view, option=orjson.OPT_INDENT_2)


def _pin(raw: Mapping[str, object] | None) -> Pin | None:
    if raw is None:
        return None
    fields = dict(raw)
    routing = fields.pop("routing", None)
    return Pin(routing=RoutingMode(str(routing)) if routing is not None else None, **fields)  # type: ignore[arg-type] # checked by the constructor


def _terms(raw: Mapping[str, object] | None) -> ScaleTerms | None:
    if raw is None:
        return None
    experts = tuple(tuple(one) for one in raw["experts"])  # type: ignore[attr-defined] # JSON list
    return ScaleTerms(**{**raw, "experts": experts})  # type: ignore[arg-type] # checked by the constructor


def _pool(raw: Mapping[str, object]) -> PoolView:
    fields = dict(raw)
    replicas = tuple(
        Replica(**{**one, "state": ReplicaState(one["state"])})
        for one in fields.pop("replicas")  # type: ignore[attr-defined] # JSON list
    )
    mode = RoutingMode(str(fields.pop("mode")))
    pin = _pin(fields.pop("pin"))  # type: ignore[arg-type] # JSON object
    terms = _terms(fields.pop("terms", None))  # type: ignore[arg-type] # JSON object
    cold_starts_s: tuple[float, ...] = tuple(fields.pop("cold_starts_s", ()))  # type: ignore[arg-type] # JSON list
    return PoolView(
        replicas=replicas,
        mode=mode,
        pin=pin,
        terms=terms,
        cold_starts_s=cold_starts_s,
        **fields,  # type: ignore[arg-type] # checked by the constructor
    )


def decode_view(data: bytes) -> FleetView:
    """The view in the JSON; ValueError, KeyError or TypeError when it is not one of ours."""
    raw = orjson.loads(data)
    return FleetView(
        revision=int(raw["revision"]),
        published_at_s=float(raw["published_at_s"]),
        pools={name: _pool(pool) for name, pool in raw["pools"].items()},
    )


class FleetFile:
    """Both ends of the file: `publish` and `last` for the controller, `watch` and `view` for a gateway."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "run" / "fleet.json"
        self._view = FleetView()
        self._seen: tuple[int, int, int] | None = None  # inode, mtime, size of the file behind `_view`
        self.refresh()

    def publish(self, view: FleetView) -> None:
        """Afterwards every reader that looks sees this view."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".json.tmp")
        draft.write_bytes(encode_view(view))
        draft.replace(self.path)

    def last(self) -> FleetView | None:
        """The last published view, also that of an earlier controller; None when there is none that can be read."""
        try:
            return decode_view(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            log.warning("fleet_file_unreadable", path=str(self.path), error=str(error))
            return None

    def view(self) -> FleetView:
        """The view as last read: one attribute, cheap enough for every request."""
        return self._view

    def refresh(self) -> bool:
        """Read the file when it has changed; an unreadable one keeps the view there was. True when the view changed."""
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return False
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen == self._seen:
            return False
        self._seen = seen
        view = self.last()
        if view is None:
            return False
        self._view = view
        return True

    async def watch(self, interval_s: float = 0.25) -> None:
        """Keep `view()` fresh until cancelled."""
        while True:
            self.refresh()
            await asyncio.sleep(interval_s)
