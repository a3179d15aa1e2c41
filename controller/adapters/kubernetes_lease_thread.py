"""The lease in a thread with an event loop of its own: a process that has much to compute does not lose it meanwhile.

200 pools are some tenths of a second of computing at once; on a node that is ten times too busy that is longer than a
lease lasts. A process that hangs keeps its lease by this, and is ended by its liveness probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from threading import Thread
from typing import Any

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_lease import KubernetesLease

JOIN_S = 5.0


class LeaseInThread:
    """Satisfies `loop.elected.Seat`; `client` is that of the lease, and nobody else's."""

    def __init__(self, lease: KubernetesLease, client: KubernetesClient) -> None:
        self._lease, self._client = lease, client
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="lease", daemon=True)

    @property
    def identity(self) -> str:
        """What this controller is called in it."""
        return self._lease.identity

    @property
    def epoch(self) -> int:
        """Of two writers the one with the higher is the younger."""
        return self._lease.epoch

    @property
    def holder(self) -> str:
        """Who holds it, as far as is known here."""
        return self._lease.holder

    def holds(self) -> bool:
        """Whether this controller may write."""
        return self._lease.holds()

    def check(self) -> None:
        """LeaseLost where this controller may not write."""
        self._lease.check()

    async def acquire(self) -> None:
        """Afterwards this controller holds it."""
        await self._there(self._lease.acquire())

    async def keep(self) -> None:
        """Renews it until it is lost: then LeaseLost."""
        await self._there(self._lease.keep())

    async def release(self) -> None:
        """Afterwards the next one need not wait."""
        await self._there(self._lease.release())

    async def close(self) -> None:
        """Afterwards no connection is open, and the thread is gone."""
        if self._thread.is_alive():
            await self._there(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join, JOIN_S)
        self._loop.close()

    async def _there(self, work: Coroutine[Any, Any, None]) -> None:
        if self._thread.ident is None:
            self._thread.start()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
