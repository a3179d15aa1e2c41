"""The published fleet view as one file: the controller writes `run/fleet.json`, every gateway watches it.

A rename swaps the file whole, so a reader sees the old view or the new one and never half of either. When the
controller is gone the file stays, and the gateways go on with the last known view. Fields that a reader does not know
are those of a newer controller: it goes on without them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import structlog

from controller.core.fleet import FleetView, Pin, PoolView, Replica, ReplicaState, RoutingMode, ScaleTerms

log = structlog.get_logger()

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)


def encode_view(view: FleetView) -> bytes:
    """The view as JSON."""
    return orjson.dumps(view, option=orjson.OPT_INDENT_2)


def _known(kind: type, raw: Mapping[str, Any]) -> dict[str, Any]:
    """What the JSON object says of the fields that this kind has."""
    names = kind.__dataclass_fields__  # type: ignore[attr-defined] # a dataclass
    return {name: value for name, value in raw.items() if name in names}


def _pin(raw: Mapping[str, Any]) -> Pin:
    routing = raw.get("routing")
    return Pin(**{**_known(Pin, raw), "routing": None if routing is None else RoutingMode(routing)})


def _terms(raw: Mapping[str, Any]) -> ScaleTerms:
    return ScaleTerms(**{**_known(ScaleTerms, raw), "experts": tuple(tuple(one) for one in raw["experts"])})


def _replica(raw: Mapping[str, Any]) -> Replica:
    return Replica(**{**_known(Replica, raw), "state": ReplicaState(raw["state"])})


def _pool(raw: Mapping[str, Any]) -> PoolView:
    pin, terms = raw["pin"], raw.get("terms")
    found = {
        "replicas": tuple(_replica(one) for one in raw["replicas"]),
        "mode": RoutingMode(raw["mode"]),
        "pin": None if pin is None else _pin(pin),
        "terms": None if terms is None else _terms(terms),
        "cold_starts_s": tuple(raw.get("cold_starts_s", ())),
        "constraints": tuple(raw.get("constraints", ())),
    }
    return PoolView(**{**_known(PoolView, raw), **found})


def decode_view(data: bytes) -> FleetView:
    """The view in the JSON; ValueError, KeyError or TypeError when it is not one of ours."""
    raw = orjson.loads(data)
    return FleetView(
        revision=int(raw["revision"]),
        published_at_s=float(raw["published_at_s"]),
        gateways=max(1, int(raw.get("gateways", 1))),
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
