"""The shape of the data files, checked when they are read; what is not known is absent, every table has its source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Quota = Literal["g", "p", "standard"]


class Row(BaseModel):
    """Base of every row: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InstanceFacts(Row):
    """What EC2 says of an instance type; `quota` is the family whose vCPUs it counts against."""

    vcpus: int
    memory_gib: int
    quota: Quota


class ServicePrices(Row):
    """List prices besides instances, in USD; None where none is known."""

    nat_gateway_usd_per_hour: float | None = None
    load_balancer_usd_per_hour: float | None = None
    interface_endpoint_usd_per_hour: float | None = None  # in each zone
    gp3_usd_per_gib_month: float | None = None
    database_gp3_usd_per_gib_month: float | None = None
    database_usd_per_hour: Mapping[str, float] = Field(default_factory=dict)  # by class, in one zone


class Region(Row):
    """One region: zones by letter, instance types with the letters of the zones that offer them, prices by type."""

    name: str
    zones: Mapping[str, str]
    offerings: Mapping[str, str]
    offerings_source: str
    offerings_as_of: str
    usd_per_hour: Mapping[str, float]
    usd_per_hour_source: str
    usd_per_hour_as_of: date | str
    spot_usd_per_hour: Mapping[str, tuple[float, float]]
    spot_source: str
    spot_as_of: str
    block_usd_per_hour: Mapping[str, float] = Field(default_factory=dict)
    block_source: str = ""
    block_as_of: str = ""
    services: ServicePrices = ServicePrices()
    services_source: str = ""
    services_as_of: date | str = ""


class EksVersions(Row):
    """By version the first days without standard and without extended support; None where they are not known."""

    source: str
    as_of: date
    usd_per_hour: float
    extended_usd_per_hour: float
    versions: Mapping[str, tuple[date, date] | None]
