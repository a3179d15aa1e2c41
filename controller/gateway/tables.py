"""The settings as routing wants them; the gateway and `spillway route explain` plan by the same table."""

from __future__ import annotations

from controller.config.settings import Settings
from controller.core.requests import RequestProfile, Target
from controller.routing.choose import chain_key, plan_chain
from controller.routing.table import RoutingTable, pools_by_model

CHAINS_CACHED = 4096


def routing_table(settings: Settings, usable_providers: frozenset[str]) -> RoutingTable:
    """The settings as routing wants them."""
    return RoutingTable(
        phase=settings.phase,
        rules=settings.rules,
        models=settings.models,
        providers=settings.providers,
        pools=settings.pools,
        pool_by_model=pools_by_model(settings.pools.values()),
        fallbacks=settings.fallbacks,
        today=settings.today,
        usable_providers=usable_providers,
    )


class Plans:
    """The chains of a table, each worked out once; what a key leaves out of a profile changes no chain."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._chains: dict[tuple[object, ...], tuple[Target, ...]] = {}

    def of(self, profile: RequestProfile) -> tuple[Target, ...]:
        """The chain; RequestError where there is none."""
        key = chain_key(profile)
        chain = self._chains.get(key)
        if chain is None:
            chain = plan_chain(profile, self._table)
            if len(self._chains) >= CHAINS_CACHED:
                self._chains.clear()
            self._chains[key] = chain
        return chain
