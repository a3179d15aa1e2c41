"""The settings as routing wants them; the gateway and `spillway route explain` plan by the same table."""

from __future__ import annotations

from controller.config.settings import Settings
from controller.routing.table import RoutingTable, pools_by_model


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
