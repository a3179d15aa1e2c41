"""The answers under way, so that they can be ended from outside: by the drain deadline, or a revoked key."""

from __future__ import annotations

import asyncio

from controller.core.errors import UpstreamTimeout
from controller.gateway.auth import KeyRevoked
from controller.gateway.exchange import Exchange
from controller.gateway.guard import Guard
from controller.gateway.ports import KeyStore

SWEEP_S = 1.0  # with what the snapshot of keys takes, an open stream of a revoked key ends within 5 s


class OpenAnswers:
    """One per gateway."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._open: dict[Guard, Exchange] = {}
        self._swept_revision = keys.revision

    def add(self, guard: Guard, exchange: Exchange) -> None:
        """It has begun."""
        self._open[guard] = exchange

    def remove(self, guard: Guard) -> None:
        """It has ended."""
        del self._open[guard]

    def expire(self, why: UpstreamTimeout) -> int:
        """Every one of them ends with this now. How many those were."""
        cut = list(self._open)
        for guard in cut:
            guard.expire(why)
        return len(cut)

    async def watch(self) -> None:
        """Sweeps every second until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    def sweep(self) -> None:
        """Afterwards none belongs to a key that is known to be revoked; looks at them only when a key changed."""
        revision = self._keys.revision
        if revision == self._swept_revision:
            return
        self._swept_revision = revision
        for guard, exchange in list(self._open.items()):
            record = self._keys.lookup(exchange.key.public_id)
            if record is None or record.revoked_at_s is not None:
                guard.expire(KeyRevoked())
