"""Whether EKS still supports the version, and at which price."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from controller.catalogue.document import Document
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from infra.checks.words import one_of, unknown
from infra.regions import eks_versions
from infra.schema import ClusterSettings, StackSettings

WARNED_DAYS = 60  # AWS announces the end at least so long before


def supported(today: date) -> list[str]:
    """Versions in standard support on that day, those whose days are not known included."""
    return [version for version, ends in eks_versions().versions.items() if ends is None or today < ends[0]]


def is_extended(cluster: ClusterSettings, today: date) -> bool:
    """Whether the version is in extended support on that day, which costs more."""
    ends = eks_versions().versions.get(cluster.version)
    return ends is not None and ends[0] <= today < ends[1]


def check_version(settings: StackSettings, document: Document, today: date) -> Iterator[Problem]:
    """In standard support; in extended support only if `upgrade_support` says so."""
    cluster, place, versions = settings.cluster, ("cluster", "version"), eks_versions()
    if cluster.version not in versions.versions:
        yield unknown(document, place, "EKS version", cluster.version, supported(today))
        return
    ends = versions.versions[cluster.version]
    if ends is None:
        return
    standard, extended = ends
    if today >= extended:
        message = f"is out of support since {extended}: EKS makes no cluster of it"
        yield problem_at(document, place, message, one_of(supported(today)), cluster.version)
    elif today >= standard and cluster.upgrade_support == "STANDARD":
        message = f"is out of standard support since {standard}: EKS would upgrade it by itself"
        allowed = f"{one_of(supported(today))}; or spillway:cluster.upgrade_support EXTENDED until {extended},"
        yield problem_at(
            document, place, message, f"{allowed} at {versions.extended_usd_per_hour:.2f} USD an hour", cluster.version
        )
    elif today < standard and (standard - today).days <= WARNED_DAYS:
        message = f"standard support ends on {standard}: plan the upgrade"
        yield problem_at(document, place, message, one_of(supported(standard)), cluster.version, severity="warning")
