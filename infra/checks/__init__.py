"""What cannot be built although its shape is right: pure functions of settings and date, all problems at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from controller.catalogue.document import Document
from controller.core.errors import Problem
from infra.checks.capacity import check_blocks, check_nodes
from infra.checks.models import check_models
from infra.checks.networks import check_networks, check_room
from infra.checks.offerings import check_offerings, check_region, check_zones
from infra.checks.services import check_services
from infra.checks.versions import check_version
from infra.checks.weights import check_weights
from infra.checks.words import NOWHERE
from infra.schema import StackSettings

__all__ = ["NOWHERE", "check"]


def check(
    settings: StackSettings,
    *,
    today: date,
    document: Document = NOWHERE,
    pool_names: frozenset[str] | None = None,
) -> Iterator[Problem]:
    """Everything that is wrong on that day. `pool_names`: GPU pools there are besides those of the settings."""
    yield from check_networks(settings, document)
    unknown_region = list(check_region(settings, document))
    yield from unknown_region
    if not unknown_region:
        yield from check_zones(settings, document)
        yield from check_offerings(settings, document)
        yield from check_room(settings, document)
    yield from check_version(settings, document, today)
    yield from check_nodes(settings, document)
    yield from check_blocks(settings, document, today)
    yield from check_models(settings, pool_names or frozenset(settings.gpu_pools), document)
    yield from check_weights(settings, document)
    yield from check_services(settings, document)
