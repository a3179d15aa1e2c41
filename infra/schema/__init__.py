"""The shape of a stack: one pydantic model per section, unknown keys refused, every value bounded."""

from __future__ import annotations

from infra.schema.cluster import ClusterSettings, CoreNodeSettings, NodeAutoscalingSettings
from infra.schema.gpu_pools import Block, GpuPoolSettings, ModelSettings, OnDemand, Reservation, Spot
from infra.schema.network import NetworkSettings
from infra.schema.services import (
    DatabaseSettings,
    EdgeSettings,
    ModelStoreSettings,
    ObservabilitySettings,
    RegistrySettings,
    SecretsSettings,
)
from infra.schema.stack import StackSettings

__all__ = [
    "Block",
    "ClusterSettings",
    "CoreNodeSettings",
    "DatabaseSettings",
    "EdgeSettings",
    "GpuPoolSettings",
    "ModelSettings",
    "ModelStoreSettings",
    "NetworkSettings",
    "NodeAutoscalingSettings",
    "ObservabilitySettings",
    "OnDemand",
    "RegistrySettings",
    "Reservation",
    "SecretsSettings",
    "Spot",
    "StackSettings",
]
