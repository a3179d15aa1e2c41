"""Asks AWS what preflight needs to know: one call after another, each of which may go unanswered."""

from __future__ import annotations

from datetime import datetime

from infra.aws import ec2, pricing, secrets_manager, service_quotas, ssm
from infra.aws.access import Access, answer_or_why
from infra.aws.facts import AccountFacts, BlockOffer, ReservationFact, Unanswered
from infra.aws.identity import identity
from infra.preflight.needs import image_parameters, instance_zones, reservation_ids, secrets_needed
from infra.preflight.quotas import code_of, quota_needs
from infra.schema import Block, Spot, StackSettings


def gather(access: Access, settings: StackSettings, *, now: datetime) -> AccountFacts:
    """What the account and the region hold for this stack."""
    kinds = tuple(instance_zones(settings))
    pools = settings.gpu_pools.values()
    gpu_kinds = tuple(pool.instance_type for pool in pools)
    spot_kinds = tuple(pool.instance_type for pool in pools if isinstance(pool.capacity, Spot))
    codes = tuple(need.code for need in quota_needs(settings))
    held = answer_or_why(lambda: ec2.reservations(access.client("ec2"), reservation_ids(settings).values()))
    return AccountFacts(
        identity=answer_or_why(lambda: identity(access.client("sts"))),
        quotas=answer_or_why(lambda: service_quotas.ec2_quotas(access.client("service-quotas"), codes)),
        vcpus_running=answer_or_why(lambda: ec2.running_vcpus(access.client("ec2"), code_of)),
        zones=answer_or_why(lambda: ec2.zones(access.client("ec2"))),
        offerings=answer_or_why(lambda: ec2.offerings(access.client("ec2"), kinds)),
        images=answer_or_why(lambda: ssm.images(access.client("ssm"), image_parameters(settings))),
        reservations=held,
        block_offers=answer_or_why(lambda: _offers(access, settings, held, now)),
        usd_per_hour=answer_or_why(
            lambda: pricing.on_demand_prices(access.client("pricing", pricing.REGION), settings.region, gpu_kinds)
        ),
        spot_usd_per_hour=answer_or_why(lambda: ec2.spot_prices(access.client("ec2"), spot_kinds, now)),
        secrets=answer_or_why(
            lambda: secrets_manager.present(access.client("secretsmanager"), secrets_needed(settings))
        ),
    )


def _offers(
    access: Access, settings: StackSettings, held: dict[str, ReservationFact] | Unanswered, now: datetime
) -> dict[str, tuple[BlockOffer, ...]]:
    """By pool, blocks that could be bought where the one it names is not held."""
    offers: dict[str, tuple[BlockOffer, ...]] = {}
    for name, pool in settings.gpu_pools.items():
        block = pool.capacity
        if isinstance(block, Block) and not isinstance(held, Unanswered) and block.id not in held:
            hours = max(24, round((block.ends_at - block.starts_at).total_seconds() / 3600))
            offers[name] = ec2.block_offers(
                access.client("ec2"), instance_type=pool.instance_type, instances=pool.max_nodes, hours=hours,
                starts_from=max(now, block.starts_at),
            )  # fmt: skip
    return offers
