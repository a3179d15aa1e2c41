"""Decides what an account lacks for a stack: pure, of the settings and of what AWS said."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from infra.aws.facts import AccountFacts, BlockOffer, Unanswered
from infra.preflight.findings import Finding
from infra.preflight.needs import image_parameters, instance_zones, reservation_ids, secrets_needed, zones_needed
from infra.preflight.prices import judge_prices
from infra.preflight.quotas import quota_needs
from infra.regions.zones import WITHOUT_EKS
from infra.schema import Block, StackSettings


def judge(settings: StackSettings, facts: AccountFacts) -> tuple[Finding, ...]:
    """Findings in the order in which one mends them: identity, quotas, zones, images, capacity, secrets, prices."""
    return (
        *_identity(facts),
        *_quotas(settings, facts),
        *_zones(settings, facts),
        *_offerings(settings, facts),
        *_images(settings, facts),
        *_reserved(settings, facts),
        *_secrets(settings, facts),
        *judge_prices(settings, facts),
    )


def unanswered(subject: str, answer: Unanswered) -> Finding:
    """What could not be asked, and why."""
    return Finding(state="unknown", subject=subject, words=f"{answer.call}: {answer.why}")


def _identity(facts: AccountFacts) -> Iterator[Finding]:
    who = facts.identity
    if isinstance(who, Unanswered):
        yield Finding(state="missing", subject="identity", words=f"{who.call}: {who.why}", command="aws configure sso")
    else:
        yield Finding(state="ok", subject="identity", words=f"{who.arn} in account {who.account}")


def _quotas(settings: StackSettings, facts: AccountFacts) -> Iterator[Finding]:
    if isinstance(facts.quotas, Unanswered):
        yield unanswered("quotas", facts.quotas)
        return
    running: Mapping[str, int] = {} if isinstance(facts.vcpus_running, Unanswered) else facts.vcpus_running
    for need in quota_needs(settings):
        has, used = facts.quotas[need.code], running.get(need.code, 0)
        subject = f"quota {need.code}"
        words = f"{need.name}: {need.parts} = {need.vcpus} vCPUs" + (f" beside {used} that run" if used else "")
        if has >= need.vcpus + used:
            yield Finding(state="ok", subject=subject, words=f"{words}, the quota is {has:g}")
        elif has >= need.vcpus:
            words += f", the quota is {has:g}: enough if what runs is this stack, else ask for {need.vcpus + used}"
            yield Finding(state="warning", subject=subject, words=words)
        else:
            command = (
                f"aws service-quotas request-service-quota-increase --region {settings.region} --service-code ec2"
                f" --quota-code {need.code} --desired-value {need.vcpus + used}"
            )
            yield Finding(state="missing", subject=subject, words=f"{words}, the quota is {has:g}", command=command)
    if isinstance(facts.vcpus_running, Unanswered):
        yield unanswered("what runs already", facts.vcpus_running)


def _zones(settings: StackSettings, facts: AccountFacts) -> Iterator[Finding]:
    if isinstance(facts.zones, Unanswered):
        yield unanswered("zones", facts.zones)
        return
    for zone in zones_needed(settings):
        zone_id, subject = facts.zones.get(zone), f"zone {zone}"
        if zone_id is None:
            words = f"this account cannot use it; it can use {', '.join(sorted(facts.zones))}"
            yield Finding(state="missing", subject=subject, words=words)
        elif zone_id in WITHOUT_EKS:
            words = f"is {zone_id} in this account, where EKS takes no subnets: spillway:network.availability_zones"
            yield Finding(state="missing", subject=subject, words=words)
        else:
            yield Finding(state="ok", subject=subject, words=zone_id)


def _offerings(settings: StackSettings, facts: AccountFacts) -> Iterator[Finding]:
    if isinstance(facts.offerings, Unanswered):
        yield unanswered("offerings", facts.offerings)
        return
    for kind, zones in instance_zones(settings).items():
        offered = facts.offerings.get(kind, frozenset())
        lacking = [zone for zone in zones if zone not in offered]
        subject = f"offering {kind}"
        if not lacking:
            yield Finding(state="ok", subject=subject, words=f"in {', '.join(zones)}")
            continue
        there = ", ".join(sorted(offered)) or "no zone of the region"
        words = f"not in {', '.join(lacking)} of this account; it is in {there} (letters differ between accounts)"
        yield Finding(state="missing", subject=subject, words=words)


def _images(settings: StackSettings, facts: AccountFacts) -> Iterator[Finding]:
    if isinstance(facts.images, Unanswered):
        yield unanswered("images", facts.images)
        return
    for parameter in image_parameters(settings):
        image = facts.images.get(parameter)
        if image is None:
            yield Finding(
                state="missing", subject="image", words=f"{parameter} is not there: is the version offered here?"
            )
        else:
            yield Finding(state="ok", subject="image", words=f"{image} ({parameter})")


def _reserved(settings: StackSettings, facts: AccountFacts) -> Iterator[Finding]:
    wanted = reservation_ids(settings)
    if wanted and isinstance(facts.reservations, Unanswered):
        yield unanswered("reservations", facts.reservations)
        return
    for name, reservation in wanted.items():
        fact = None if isinstance(facts.reservations, Unanswered) else facts.reservations.get(reservation)
        pool, subject = settings.gpu_pools[name], f"pool {name}"
        if fact is None:
            yield Finding(state="missing", subject=subject, words=f"the account has no reservation {reservation} here")
            if isinstance(pool.capacity, Block):
                yield from _offers(settings, name, facts)
        elif fact.instance_type != pool.instance_type or fact.instances < pool.max_nodes:
            words = f"{reservation} is {fact.instances} x {fact.instance_type}"
            words += f", the pool {pool.max_nodes} x {pool.instance_type}"
            yield Finding(state="missing", subject=subject, words=words)
        elif pool.availability_zones and fact.zone not in pool.availability_zones:
            yield Finding(state="missing", subject=subject, words=f"{reservation} is in {fact.zone}")
        else:
            words = f"{reservation}: {fact.instances} x {fact.instance_type} in {fact.zone}, {fact.state}"
            yield Finding(state="ok", subject=subject, words=words)


def _offers(settings: StackSettings, name: str, facts: AccountFacts) -> Iterator[Finding]:
    subject = f"pool {name}"
    if isinstance(facts.block_offers, Unanswered):
        yield unanswered(subject, facts.block_offers)
        return
    offers = facts.block_offers.get(name, ())
    if not offers:
        yield Finding(
            state="missing", subject=subject, words="no capacity block of that size and length is offered now"
        )
    for offer in offers[:3]:
        yield Finding(
            state="warning", subject=subject, words=_offer_words(offer), command=_purchase(settings.region, offer)
        )


def _offer_words(offer: BlockOffer) -> str:
    hourly = offer.upfront_usd / (offer.hours * offer.instances)
    return (
        f"offered: {offer.instances} x {offer.instance_type} in {offer.zone}, {offer.starts_at.isoformat()} to"
        f" {offer.ends_at.isoformat()}, {offer.upfront_usd:,.2f} USD up front ({hourly:.4f} an hour each)"
    )


def _purchase(region: str, offer: BlockOffer) -> str:
    return (
        f"aws ec2 purchase-capacity-block --region {region} --capacity-block-offering-id {offer.id}"
        " --instance-platform Linux/UNIX"
    )


def _secrets(settings: StackSettings, facts: AccountFacts) -> Iterator[Finding]:
    if isinstance(facts.secrets, Unanswered):
        yield unanswered("secrets", facts.secrets)
        return
    for name, holds in secrets_needed(settings).items():
        command = (
            f"aws secretsmanager create-secret --region {settings.region} --name {shlex.quote(name)}"
            " --secret-string file:///dev/stdin"
        )
        if facts.secrets.get(name, False):
            yield Finding(state="ok", subject="secret", words=name)
        else:
            yield Finding(state="missing", subject="secret", words=f"{name} is not there: {holds}", command=command)
