"""What operators have said, on the objects themselves: pins in ModelPools, orders on pods. For `loop.ports.SpecFeed`.

A pin that has expired is taken out of its object, so that the next `kubectl scale` is a pin again; until that is done,
the status shows it as expired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from controller.adapters.kubernetes_backoff import Backoffs
from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import MODEL_POOLS
from controller.adapters.kubernetes_pods import is_ordered_away
from controller.adapters.kubernetes_watch import KubernetesWatch
from controller.core.errors import ClusterError
from controller.core.fleet import Pin
from controller.modelpool.pins import expired_pin_patch, pin_word

log = structlog.get_logger()


class KubernetesSpec:
    """Reads the watches of ModelPools and pods."""

    def __init__(
        self, client: KubernetesClient, *, pools: KubernetesWatch, pods: KubernetesWatch, now_s: Callable[[], float]
    ) -> None:
        self._client = client
        self._pools, self._pods = pools, pods
        self._now_s = now_s
        self._backoffs = Backoffs(now_s)

    def pins(self) -> Mapping[str, Pin]:
        """By pool; expired ones may be among them."""
        words = {name: pin_word(item, self._now_s()) for name, item in self._pools.objects.items()}
        return {name: word.pin for name, word in words.items() if word is not None}

    def drains(self) -> frozenset[str]:
        """Pods that an operator wants to go."""
        return frozenset(name for name, pod in self._pods.objects.items() if is_ordered_away(pod))

    async def keep_clear(self, every_s: float) -> None:
        """Clears them again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.clear_expired()

    async def clear_expired(self) -> None:
        """Afterwards no object has a pin that has expired, as far as that may be written."""
        for name, item in self._pools.objects.items():
            patch = expired_pin_patch(item, self._now_s())
            if patch is None:
                continue
            try:
                with self._backoffs.writing(name):
                    path = MODEL_POOLS.path(self._client.namespace, name)
                    self._pools.learn(await self._client.patch(path, patch))
            except ClusterError as error:
                if self._backoffs.is_news(name):
                    log.warning("expired_pin_stays", pool=name, error=str(error))
            else:
                log.info("expired_pin_cleared", pool=name)
