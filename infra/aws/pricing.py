"""The Price List: what an instance costs by the hour, on demand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from infra.aws.access import asked

REGION = "us-east-1"  # the Price List answers there, for every region
_LINUX = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}


def on_demand_prices(pricing: Any, region: str, instance_types: Iterable[str]) -> dict[str, float]:
    """USD an hour by instance type, Linux; those without a price are absent."""
    prices: dict[str, float] = {}
    for kind in sorted(set(instance_types)):
        terms = {**_LINUX, "instanceType": kind, "regionCode": region}
        filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in terms.items()]
        with asked("pricing:GetProducts"):
            answer = pricing.get_products(ServiceCode="AmazonEC2", Filters=filters)
        found = [price for product in answer["PriceList"] for price in _of_product(json.loads(product))]
        if found:
            prices[kind] = min(found)
    return prices


def _of_product(product: dict[str, Any]) -> list[float]:
    """Prices above zero: a row of nothing stands beside the real one for reserved capacity."""
    terms = product.get("terms", {}).get("OnDemand", {}).values()
    dimensions = [dimension for term in terms for dimension in term["priceDimensions"].values()]
    prices = [float(dimension["pricePerUnit"].get("USD", 0)) for dimension in dimensions]
    return [price for price in prices if price > 0]
