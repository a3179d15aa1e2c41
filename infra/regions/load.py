"""Reads the packaged data once per process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml
from pydantic import TypeAdapter

from controller.catalogue.load import load_catalogue
from infra.regions.rows import EksVersions, InstanceFacts, Region

_REGION_FILE = re.compile(r"^([a-z]{2}(-[a-z]+)+-[0-9])\.yaml$")
_CATALOGUE_REGION = "us-east-1"  # whose prices gpus.yaml has


def _document(name: str) -> object:
    text = files("infra.regions").joinpath(name).read_text(encoding="utf-8")
    document: object = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe either way, the C one is faster
    return document


@cache
def region_names() -> tuple[str, ...]:
    """Regions there is data about, by their keys."""
    found = (_REGION_FILE.match(file.name) for file in files("infra.regions").iterdir())
    return tuple(sorted(match[1] for match in found if match))


@cache
def load_region(key: str) -> Region:
    """What is known of a region; KeyError for one without data."""
    if key not in region_names():
        raise KeyError(key)
    return Region.model_validate(_document(f"{key}.yaml"))


@cache
def instance_facts() -> Mapping[str, InstanceFacts]:
    """Instance types there is data about."""
    return MappingProxyType(TypeAdapter(dict[str, InstanceFacts]).validate_python(_document("instances.yaml")))


@cache
def eks_versions() -> EksVersions:
    """Versions of EKS and what a control plane costs."""
    return EksVersions.model_validate(_document("eks_versions.yaml"))


def on_demand_usd_per_hour(region: str, instance_type: str) -> float | None:
    """The list price of one instance, Linux; None where none is known."""
    listed = load_region(region).usd_per_hour.get(instance_type)
    if listed is None and region == _CATALOGUE_REGION and instance_type in load_catalogue().gpus:
        return float(load_catalogue().gpus[instance_type].usd_per_hour)
    return listed
