"""Service Quotas: how many vCPUs the account may run of each family."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.aws.access import asked


def ec2_quotas(service_quotas: Any, codes: Iterable[str]) -> dict[str, float]:
    """vCPUs by quota code of EC2."""
    values: dict[str, float] = {}
    for code in codes:
        with asked("servicequotas:GetServiceQuota"):
            answer = service_quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)
        values[code] = float(answer["Quota"]["Value"])
    return values
